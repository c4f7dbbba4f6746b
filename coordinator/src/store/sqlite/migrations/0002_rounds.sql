-- Rounds beyond the first, settlements and probes of doubts, retention, and what protects a run from itself.

CREATE TABLE rounds (
    run            INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    round          INTEGER NOT NULL,
    revision       TEXT NOT NULL REFERENCES pipelines (revision),
    opened_at      INTEGER NOT NULL,
    opened_by      TEXT NOT NULL,              -- in words; empty for the first
    request_id     TEXT,
    request_digest BLOB,
    -- Records taken over from older rounds, and as what.
    records          INTEGER NOT NULL DEFAULT 0,
    took_dead_letter INTEGER NOT NULL DEFAULT 0,
    took_gone        INTEGER NOT NULL DEFAULT 0,
    took_cancelled   INTEGER NOT NULL DEFAULT 0,
    took_in_doubt    INTEGER NOT NULL DEFAULT 0,
    batches        INTEGER NOT NULL DEFAULT 0, -- cut of these
    finished_at    INTEGER,
    cancelled      INTEGER NOT NULL DEFAULT 0, -- 1: it was over by a cancel
    stale          INTEGER NOT NULL DEFAULT 0, -- so many things were learnt since its verdict
    PRIMARY KEY (run, round)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX rounds_by_request ON rounds (run, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX rounds_stale ON rounds (run) WHERE stale > 0;
INSERT INTO rounds (run, round, revision, opened_at, opened_by, finished_at, cancelled)
SELECT run, 1, revision, created_at, '', finished_at, state = 3 FROM runs;

ALTER TABLE runs ADD COLUMN max_rejected INTEGER NOT NULL DEFAULT 3;     -- batches refused as a whole in a row
ALTER TABLE runs ADD COLUMN rejected_batches INTEGER NOT NULL DEFAULT 0; -- so many since something was applied
ALTER TABLE runs ADD COLUMN rejected_records INTEGER NOT NULL DEFAULT 0; -- and so many records of them
ALTER TABLE runs ADD COLUMN gone_accepted INTEGER NOT NULL DEFAULT 0;    -- gone records when it was last resumed
ALTER TABLE runs ADD COLUMN deleted_at INTEGER;
CREATE INDEX runs_deleted ON runs (run) WHERE deleted_at IS NOT NULL;

-- Leases in a row that ran out: a batch that takes its workers down goes on record by record.
ALTER TABLE batches ADD COLUMN lost INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batches ADD COLUMN singles INTEGER NOT NULL DEFAULT 0;

-- What was found out of a delivery in doubt: places as in positions.
ALTER TABLE deliveries ADD COLUMN present BLOB;
ALTER TABLE deliveries ADD COLUMN absent BLOB;
ALTER TABLE deliveries ADD COLUMN probes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0; -- the round that took its records over
ALTER TABLE deliveries ADD COLUMN settled_by TEXT NOT NULL DEFAULT '';  -- empty: its worker; probe; operator
ALTER TABLE deliveries ADD COLUMN contradicted INTEGER NOT NULL DEFAULT 0; -- 1: the target said otherwise, too late
ALTER TABLE deliveries ADD COLUMN note TEXT NOT NULL DEFAULT '';        -- an operator's words
CREATE INDEX deliveries_in_doubt ON deliveries (run, number) WHERE state = 4;

-- 1: of a batch that the target refused as a whole; nobody is judged before it has accepted another.
ALTER TABLE exceptions ADD COLUMN provisional INTEGER NOT NULL DEFAULT 0;
CREATE INDEX exceptions_provisional ON exceptions (run) WHERE provisional = 1;

-- Which rounds have a record: by its ID first.
DROP INDEX records_by_id;
CREATE UNIQUE INDEX records_by_id ON records (run, id, round);
