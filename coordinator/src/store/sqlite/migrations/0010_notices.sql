-- What somebody outside is to be told of runs: one row for each event and destination, written in the transaction that made it so.
-- Where nobody is to be told, there are none. Only adds: a program that knows none of this goes on writing.
CREATE TABLE notices (
    notice      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL,              -- of the event: the same at each try and for each destination
    run         INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    round       INTEGER NOT NULL,
    event       INTEGER NOT NULL,           -- 0 the round is over, 1 the run makes no progress, 2 it paused by itself
    reason      TEXT NOT NULL,              -- in words
    at          INTEGER NOT NULL,
    destination TEXT NOT NULL,              -- its name: a digest where its address may hold a secret
    shown       TEXT NOT NULL,              -- what people see of it
    state       INTEGER NOT NULL DEFAULT 0, -- 0 waiting, 1 delivered, 2 given up
    tries       INTEGER NOT NULL DEFAULT 0, -- also the fence: each claim counts as one
    claimed     INTEGER NOT NULL DEFAULT 0, -- 1: somebody sends it, until due_at
    due_at      INTEGER NOT NULL,
    error       TEXT NOT NULL DEFAULT '',   -- of the last try
    settled_at  INTEGER,
    UNIQUE (id, destination)
) STRICT;
CREATE INDEX notices_due ON notices (destination, due_at) WHERE state = 0;
CREATE INDEX notices_of_run ON notices (run, notice);
-- Whether a paused run paused by itself.
ALTER TABLE runs ADD COLUMN paused_itself INTEGER NOT NULL DEFAULT 0;
-- When nobody knew any more what became of it, whatever is known since.
ALTER TABLE deliveries ADD COLUMN doubted_at INTEGER;
