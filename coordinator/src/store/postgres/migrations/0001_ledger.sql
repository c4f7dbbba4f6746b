-- The ledger, as on SQLite: state lives on batches and deliveries; a listed record is one row that never changes.
-- All times are milliseconds since 1970 on the ledger's clock. run is the number of a run in this store. Codes and flags
-- are numbers, as on SQLite, so that the same code reads them.
--
-- Only what is small refers to its run by a foreign key: on the rest each row would ask for its run, and lock it, once
-- more. Whoever writes such a row holds the run; sweep takes it out.

CREATE TABLE serving (
    -- One row: since when coordinators have served without a gap, when one was last seen serving, and by how many
    -- milliseconds the ledger's clock is ahead of the database's.
    one        smallint PRIMARY KEY CHECK (one = 1),
    since      bigint NOT NULL,
    seen_at    bigint,
    ahead      bigint NOT NULL
);
INSERT INTO serving (one, since, ahead) VALUES (1, 0, 0);

-- One row, once coordinators have served on a database that may lose what it has committed: from when until when.
CREATE TABLE degraded (
    one        smallint PRIMARY KEY CHECK (one = 1),
    began_at   bigint NOT NULL,
    seen_at    bigint NOT NULL
);

CREATE TABLE pipelines (
    revision   text PRIMARY KEY,
    name       text NOT NULL,
    canonical  text NOT NULL,
    created_at bigint NOT NULL
);

CREATE TABLE runs (
    run             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              text NOT NULL UNIQUE,
    request_id      text UNIQUE,
    request_digest  bytea NOT NULL,
    pipeline        text NOT NULL,
    revision        text NOT NULL REFERENCES pipelines (revision),
    parameters      text NOT NULL,
    audit_mode      smallint NOT NULL,
    -- What the transitions need of the pipeline, so that they need not read it.
    max_batch       bigint NOT NULL,
    post_timeout_ms bigint NOT NULL,
    settle_after_ms bigint NOT NULL,
    max_attempts    bigint NOT NULL,
    on_doubt        smallint NOT NULL, -- 0 retry, 1 hold, 2 probe
    max_gone        double precision NOT NULL,
    max_rejected    bigint NOT NULL,   -- batches refused as a whole in a row
    protocol        bigint NOT NULL,   -- version of the worker protocol that a worker must speak to work on the run
    state           smallint NOT NULL, -- 0 running, 1 paused, 2 cancelling, 3 cancelled, 4 finished
    state_reason    text NOT NULL DEFAULT '',
    round           bigint NOT NULL DEFAULT 1,
    created_at      bigint NOT NULL,
    finished_at     bigint,
    gone_accepted   bigint NOT NULL DEFAULT 0, -- gone records when it was last resumed
    deleted_at      bigint,
    since_key       bigint,            -- NULL: none, or it was deleted before this one was started
    since_id        text               -- stays when that one is deleted
);
CREATE INDEX runs_not_over ON runs (run) WHERE state < 3;
CREATE INDEX runs_deleted ON runs (run) WHERE deleted_at IS NOT NULL;

-- What every batch's transition counts, apart from the run: see sql/run_changed.sql.
CREATE TABLE run_counters (
    run              bigint PRIMARY KEY REFERENCES runs (run) ON DELETE CASCADE,
    deliveries       bigint NOT NULL DEFAULT 0,   -- number of the last announced delivery
    acknowledged     bigint NOT NULL DEFAULT 0,   -- number of the last acknowledged delivery
    changes          bigint NOT NULL DEFAULT 0,   -- grows with every change of its batches
    rejected_batches bigint NOT NULL DEFAULT 0,   -- refused as a whole since something was applied
    rejected_records bigint NOT NULL DEFAULT 0,   -- and so many records of them
    files_whole      smallint NOT NULL DEFAULT 0  -- 1: the audit folder has all of its files
) WITH (fillfactor = 50);

CREATE TABLE rounds (
    run            bigint NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    round          bigint NOT NULL,
    revision       text NOT NULL REFERENCES pipelines (revision),
    opened_at      bigint NOT NULL,
    opened_by      text NOT NULL,              -- in words; empty for the first
    request_id     text,
    request_digest bytea,
    -- Records taken over from older rounds, and as what.
    records          bigint NOT NULL DEFAULT 0,
    took_dead_letter bigint NOT NULL DEFAULT 0,
    took_gone        bigint NOT NULL DEFAULT 0,
    took_cancelled   bigint NOT NULL DEFAULT 0,
    took_in_doubt    bigint NOT NULL DEFAULT 0,
    batches        bigint NOT NULL DEFAULT 0,  -- cut of these
    finished_at    bigint,
    cancelled      smallint NOT NULL DEFAULT 0, -- 1: it was over by a cancel
    stale          bigint NOT NULL DEFAULT 0,   -- so many things were learnt since its verdict
    PRIMARY KEY (run, round)
);
CREATE UNIQUE INDEX rounds_by_request ON rounds (run, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX rounds_stale ON rounds (run) WHERE stale > 0;

CREATE TABLE verdicts (
    run        bigint NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    round      bigint NOT NULL,
    verdict    text NOT NULL, -- JSON
    PRIMARY KEY (run, round)
);

CREATE TABLE listings (
    run         bigint PRIMARY KEY REFERENCES runs (run) ON DELETE CASCADE,
    closed_at   bigint,
    holder      text,
    epoch       bigint NOT NULL DEFAULT 0,
    expires_at  bigint NOT NULL DEFAULT 0,
    total_pages bigint NOT NULL DEFAULT 0,
    next_seq    bigint NOT NULL DEFAULT 0, -- records that are to be loaded
    next_batch  bigint NOT NULL DEFAULT 0, -- batches cut
    pass        bigint NOT NULL DEFAULT 1, -- 2: it is listed a second time
    last_page   bigint,                    -- NULL: not known yet
    cursor      text,                      -- what the next request carries; NULL: nothing
    total       bigint,                    -- records that the source says it has
    unchanged   bigint NOT NULL DEFAULT 0  -- rows of that table
);

CREATE TABLE pages (
    run          bigint NOT NULL,
    pass         bigint NOT NULL,
    page         bigint NOT NULL,
    items        bigint NOT NULL,
    fresh        bigint NOT NULL, -- IDs that were not in the ledger before
    given_up     smallint NOT NULL DEFAULT 0,
    committed_at bigint NOT NULL,
    PRIMARY KEY (run, pass, page)
);

CREATE TABLE problems (
    run    bigint NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    code   text NOT NULL,
    detail text NOT NULL, -- the first one's
    times  bigint NOT NULL,
    PRIMARY KEY (run, code)
);

-- What was asked for in a list whose pages lead on by cursors, hashed; gone when it closes.
CREATE TABLE cursors (
    run    bigint NOT NULL,
    pass   bigint NOT NULL,
    sha256 bytea NOT NULL,
    PRIMARY KEY (run, pass, sha256)
);

-- A record's batch is the one whose places include its sequence number. COLLATE "C": IDs are bytes, whatever the
-- database's language.
CREATE TABLE records (
    run     bigint NOT NULL,
    round   bigint NOT NULL,
    seq     bigint NOT NULL,
    id      text COLLATE "C" NOT NULL, -- canonical JSON text
    page    bigint NOT NULL,
    version text,                      -- NULL: the pipeline asks for none, or the item has none
    PRIMARY KEY (run, round, seq)
);
CREATE UNIQUE INDEX records_by_id ON records (run, id, round);

-- Items of lists that are whole records: nothing else is read of them.
CREATE TABLE items (
    run   bigint NOT NULL,
    round bigint NOT NULL,
    seq   bigint NOT NULL, -- of its record
    body  bytea NOT NULL,  -- JSON as it came
    PRIMARY KEY (run, round, seq)
);

-- Fields of records that were announced which their schema does not know, where the pipeline wants them reported.
CREATE TABLE unknown_fields (
    run       bigint NOT NULL,
    round     bigint NOT NULL,
    path      text COLLATE "C" NOT NULL, -- a JSON pointer, * for any place in an array; empty: all not told apart
    batch     bigint NOT NULL,
    positions bytea NOT NULL,            -- of the records that have it
    records   bigint NOT NULL,           -- so many
    PRIMARY KEY (run, round, path, batch)
);

-- Records that the second pass brought again; gone when it closes.
CREATE TABLE seen (
    run bigint NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (run, seq)
);

-- Listed, and not loaded again: an earlier run has the same version loaded, or found it unchanged itself. In no batch.
CREATE TABLE unchanged (
    run     bigint NOT NULL,
    id      text COLLATE "C" NOT NULL, -- canonical JSON text
    page    bigint NOT NULL,
    version text NOT NULL,
    seen    smallint NOT NULL DEFAULT 0, -- 1: the second pass brought it again
    PRIMARY KEY (run, id)
);

CREATE TABLE batches (
    run          bigint NOT NULL,
    round        bigint NOT NULL,
    batch        bigint NOT NULL,
    first_seq    bigint NOT NULL,
    size         bigint NOT NULL,
    state        smallint NOT NULL DEFAULT 0, -- 0 ready, 1 leased, 2 done
    epoch        bigint NOT NULL DEFAULT 0,
    attempt      bigint NOT NULL DEFAULT 0,
    session      text,                        -- of the current lease
    expires_at   bigint NOT NULL DEFAULT 0,   -- of the current lease
    available_at bigint NOT NULL DEFAULT 0,   -- not leased before
    -- Leases in a row that ran out: a batch that takes its workers down goes on record by record.
    lost         bigint NOT NULL DEFAULT 0,
    singles      smallint NOT NULL DEFAULT 0,
    -- For display; an audit reads deliveries and exceptions.
    loaded       bigint NOT NULL DEFAULT 0,
    dead_letter  bigint NOT NULL DEFAULT 0,
    gone         bigint NOT NULL DEFAULT 0,
    in_doubt     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run, round, batch)
    -- Every row changes three times or more: what is dead must not pile up in front of the batches that are ready.
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE UNIQUE INDEX batches_by_seq ON batches (run, round, first_seq);
CREATE INDEX batches_ready ON batches (run, round, batch) WHERE state = 0;
CREATE INDEX batches_waiting ON batches (available_at) WHERE state = 0 AND available_at > 0;
CREATE INDEX batches_leased ON batches (expires_at) WHERE state = 1;
CREATE INDEX batches_of_session ON batches (session) WHERE state = 1;

-- One row for each grant of a batch: who had it, how it ended, what was reported.
CREATE TABLE leases (
    run           bigint NOT NULL,
    round         bigint NOT NULL,
    batch         bigint NOT NULL,
    epoch         bigint NOT NULL,
    secret        bytea NOT NULL,
    session       text NOT NULL,
    attempt       bigint NOT NULL,
    granted_at    bigint NOT NULL,
    ended_at      bigint,
    ending        smallint, -- 0 completed, 1 released, 2 expired
    report_digest bytea,
    report_answer smallint, -- 0 done, 1 requeued, 2 late
    requests      bigint NOT NULL DEFAULT 0,
    retries       bigint NOT NULL DEFAULT 0,
    hedges        bigint NOT NULL DEFAULT 0,
    bytes         bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run, round, batch, epoch)
);
CREATE INDEX leases_by_session ON leases (session);

CREATE TABLE deliveries (
    run          bigint NOT NULL,
    round        bigint NOT NULL,
    batch        bigint NOT NULL,
    epoch        bigint NOT NULL,
    ordinal      bigint NOT NULL,
    number       bigint NOT NULL,
    positions    bytea,           -- NULL: the whole batch
    size         bigint NOT NULL,
    body_sha256  bytea NOT NULL,
    retry_of     bigint NOT NULL, -- number of the delivery in doubt that it repeats; 0 for none
    tries        bigint NOT NULL,
    state        smallint NOT NULL DEFAULT 0, -- 0 open, 1 applied, 2 not applied, 3 rejected, 4 in doubt, 5 partly applied
    http_status  bigint NOT NULL DEFAULT 0,
    detail       text NOT NULL DEFAULT '',
    begun_at     bigint NOT NULL,
    settled_at   bigint,
    acknowledged bigint,          -- the how-manieth acknowledgement of the run: n of batch_<n>.json
    -- What was found out of a delivery in doubt: places as in positions.
    present      bytea,
    absent       bytea,
    probes       bigint NOT NULL DEFAULT 0,
    withdrawn    bigint NOT NULL DEFAULT 0,   -- the round that took its records over
    settled_by   text NOT NULL DEFAULT '',    -- empty: its worker; probe; operator
    contradicted smallint NOT NULL DEFAULT 0, -- 1: the target said otherwise, too late
    note         text NOT NULL DEFAULT '',    -- an operator's words
    PRIMARY KEY (run, round, batch, epoch, ordinal)
);
CREATE UNIQUE INDEX deliveries_open ON deliveries (run, round, batch) WHERE state = 0;
CREATE UNIQUE INDEX deliveries_acknowledged ON deliveries (run, acknowledged) WHERE acknowledged IS NOT NULL;
CREATE INDEX deliveries_in_doubt ON deliveries (run, number) WHERE state = 4;
CREATE INDEX deliveries_by_number ON deliveries (run, number);

-- Records that are not sent (any more).
CREATE TABLE exceptions (
    run         bigint NOT NULL,
    round       bigint NOT NULL,
    batch       bigint NOT NULL,
    position    bigint NOT NULL,
    kind        smallint NOT NULL, -- 0 dead letter, 1 gone
    stage       text NOT NULL,
    reason      text NOT NULL,
    http_status bigint NOT NULL,
    body        text NOT NULL,
    at          bigint NOT NULL,
    -- 1: of a batch that the target refused as a whole; nobody is judged before it has accepted another.
    provisional smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (run, round, batch, position)
);
CREATE INDEX exceptions_gone ON exceptions (run) WHERE kind = 1;
CREATE INDEX exceptions_provisional ON exceptions (run) WHERE provisional = 1;

CREATE TABLE sessions (
    worker     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- its number, for people; the session itself is a secret
    session    text NOT NULL UNIQUE,
    name       text NOT NULL,
    version    text NOT NULL,
    embedded   smallint NOT NULL,
    started_at bigint NOT NULL,
    seen_at    bigint NOT NULL,
    ended_at   bigint
);
CREATE INDEX sessions_by_start ON sessions (started_at);
