-- The ledger. State lives on batches and deliveries; a listed record is one row that never changes.
-- All times are milliseconds since 1970 on the store's clock. run is the number of a run in this store.

CREATE TABLE serving (
    -- One row: since when coordinators have served without a gap, and when one was last seen serving.
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    since      INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE pipelines (
    revision   TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    canonical  TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    run             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    request_id      TEXT UNIQUE,
    request_digest  BLOB NOT NULL,
    pipeline        TEXT NOT NULL,
    revision        TEXT NOT NULL REFERENCES pipelines (revision),
    parameters      TEXT NOT NULL,
    audit_mode      INTEGER NOT NULL,
    -- What the transitions need of the pipeline, so that they need not read it.
    max_batch       INTEGER NOT NULL,
    post_timeout_ms INTEGER NOT NULL,
    settle_after_ms INTEGER NOT NULL,
    max_attempts    INTEGER NOT NULL,
    on_doubt        INTEGER NOT NULL, -- 0 retry, 1 hold
    max_gone        REAL NOT NULL,
    state           INTEGER NOT NULL, -- 0 running, 1 paused, 2 cancelling, 3 cancelled, 4 finished
    state_reason    TEXT NOT NULL DEFAULT '',
    round           INTEGER NOT NULL DEFAULT 1,
    created_at      INTEGER NOT NULL,
    finished_at     INTEGER,
    deliveries      INTEGER NOT NULL DEFAULT 0, -- number of the last announced delivery
    acknowledged    INTEGER NOT NULL DEFAULT 0, -- number of the last acknowledged delivery
    changes         INTEGER NOT NULL DEFAULT 0, -- grows with every change of its batches
    files_whole     INTEGER NOT NULL DEFAULT 0  -- 1: the audit folder has all of its files
) STRICT;
CREATE INDEX runs_not_over ON runs (run) WHERE state < 3;

CREATE TABLE verdicts (
    run        INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    round      INTEGER NOT NULL,
    verdict    TEXT NOT NULL, -- JSON
    PRIMARY KEY (run, round)
) STRICT, WITHOUT ROWID;

CREATE TABLE listings (
    run         INTEGER PRIMARY KEY REFERENCES runs (run) ON DELETE CASCADE,
    closed_at   INTEGER,
    holder      TEXT,
    epoch       INTEGER NOT NULL DEFAULT 0,
    expires_at  INTEGER NOT NULL DEFAULT 0,
    total_pages INTEGER NOT NULL DEFAULT 0,
    next_seq    INTEGER NOT NULL DEFAULT 0, -- listed records
    next_batch  INTEGER NOT NULL DEFAULT 0  -- batches cut
) STRICT;

CREATE TABLE pages (
    run          INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    page         INTEGER NOT NULL,
    items        INTEGER NOT NULL,
    fresh        INTEGER NOT NULL, -- IDs that were not in the ledger before
    given_up     INTEGER NOT NULL DEFAULT 0,
    committed_at INTEGER NOT NULL,
    PRIMARY KEY (run, page)
) STRICT, WITHOUT ROWID;

CREATE TABLE problems (
    run    INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    code   TEXT NOT NULL,
    detail TEXT NOT NULL, -- the first one's
    times  INTEGER NOT NULL,
    PRIMARY KEY (run, code)
) STRICT, WITHOUT ROWID;

-- A record's batch is the one whose places include its sequence number.
CREATE TABLE records (
    run   INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    round INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    id    TEXT NOT NULL, -- canonical JSON text
    page  INTEGER NOT NULL,
    PRIMARY KEY (run, round, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX records_by_id ON records (run, round, id);

CREATE TABLE batches (
    run          INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    round        INTEGER NOT NULL,
    batch        INTEGER NOT NULL,
    first_seq    INTEGER NOT NULL,
    size         INTEGER NOT NULL,
    state        INTEGER NOT NULL DEFAULT 0, -- 0 ready, 1 leased, 2 done
    epoch        INTEGER NOT NULL DEFAULT 0,
    attempt      INTEGER NOT NULL DEFAULT 0,
    session      TEXT,                       -- of the current lease
    expires_at   INTEGER NOT NULL DEFAULT 0, -- of the current lease
    available_at INTEGER NOT NULL DEFAULT 0, -- not leased before
    -- For display; an audit reads deliveries and exceptions.
    loaded       INTEGER NOT NULL DEFAULT 0,
    dead_letter  INTEGER NOT NULL DEFAULT 0,
    gone         INTEGER NOT NULL DEFAULT 0,
    in_doubt     INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, round, batch)
) STRICT, WITHOUT ROWID;
CREATE INDEX batches_ready ON batches (run, round, batch) WHERE state = 0;
CREATE INDEX batches_waiting ON batches (available_at) WHERE state = 0 AND available_at > 0;
CREATE INDEX batches_leased ON batches (expires_at) WHERE state = 1;
CREATE INDEX batches_of_session ON batches (session) WHERE state = 1;

-- One row for each grant of a batch: who had it, how it ended, what was reported.
CREATE TABLE leases (
    run           INTEGER NOT NULL,
    round         INTEGER NOT NULL,
    batch         INTEGER NOT NULL,
    epoch         INTEGER NOT NULL,
    secret        BLOB NOT NULL,
    session       TEXT NOT NULL,
    attempt       INTEGER NOT NULL,
    granted_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    ending        INTEGER, -- 0 completed, 1 released, 2 expired
    report_digest BLOB,
    report_answer INTEGER, -- 0 done, 1 requeued, 2 late
    requests      INTEGER NOT NULL DEFAULT 0,
    retries       INTEGER NOT NULL DEFAULT 0,
    hedges        INTEGER NOT NULL DEFAULT 0,
    bytes         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, round, batch, epoch),
    FOREIGN KEY (run, round, batch) REFERENCES batches (run, round, batch) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX leases_by_session ON leases (session);

CREATE TABLE deliveries (
    run          INTEGER NOT NULL,
    round        INTEGER NOT NULL,
    batch        INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    ordinal      INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    positions    BLOB,             -- NULL: the whole batch
    size         INTEGER NOT NULL,
    body_sha256  BLOB NOT NULL,
    retry_of     INTEGER NOT NULL, -- number of the delivery in doubt that it repeats; 0 for none
    tries        INTEGER NOT NULL,
    state        INTEGER NOT NULL DEFAULT 0, -- 0 open, 1 applied, 2 not applied, 3 rejected, 4 in doubt
    http_status  INTEGER NOT NULL DEFAULT 0,
    detail       TEXT NOT NULL DEFAULT '',
    begun_at     INTEGER NOT NULL,
    settled_at   INTEGER,
    acknowledged INTEGER,          -- the how-manieth acknowledgement of the run: n of batch_<n>.json
    PRIMARY KEY (run, round, batch, epoch, ordinal),
    FOREIGN KEY (run, round, batch) REFERENCES batches (run, round, batch) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX deliveries_open ON deliveries (run, round, batch) WHERE state = 0;
CREATE UNIQUE INDEX deliveries_acknowledged ON deliveries (run, acknowledged) WHERE acknowledged IS NOT NULL;

-- Records that are not sent (any more).
CREATE TABLE exceptions (
    run         INTEGER NOT NULL,
    round       INTEGER NOT NULL,
    batch       INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    kind        INTEGER NOT NULL, -- 0 dead letter, 1 gone
    stage       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    http_status INTEGER NOT NULL,
    body        TEXT NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (run, round, batch, position),
    FOREIGN KEY (run, round, batch) REFERENCES batches (run, round, batch) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX exceptions_gone ON exceptions (run) WHERE kind = 1;

CREATE TABLE sessions (
    worker     INTEGER PRIMARY KEY, -- its number, for people; the session itself is a secret
    session    TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    version    TEXT NOT NULL,
    embedded   INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT;
CREATE INDEX sessions_by_start ON sessions (started_at);
