-- What somebody outside is to be told of runs: one row for each event and destination, written in the transaction that made it so.
-- Where nobody is to be told, there are none. Only adds: a program that knows none of this goes on writing.
CREATE TABLE notices (
    notice      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          text NOT NULL,              -- of the event: the same at each try and for each destination
    run         bigint NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    round       bigint NOT NULL,
    event       smallint NOT NULL,           -- 0 the round is over, 1 the run makes no progress, 2 it paused by itself
    reason      text NOT NULL,              -- in words
    at          bigint NOT NULL,
    destination text NOT NULL,              -- its name: a digest where its address may hold a secret
    shown       text NOT NULL,              -- what people see of it
    state       smallint NOT NULL DEFAULT 0, -- 0 waiting, 1 delivered, 2 given up
    tries       bigint NOT NULL DEFAULT 0, -- also the fence: each claim counts as one
    claimed     smallint NOT NULL DEFAULT 0, -- 1: somebody sends it, until due_at
    due_at      bigint NOT NULL,
    error       text NOT NULL DEFAULT '',   -- of the last try
    settled_at  bigint,
    UNIQUE (id, destination)
);
CREATE INDEX notices_due ON notices (destination, due_at) WHERE state = 0;
CREATE INDEX notices_of_run ON notices (run, notice);
-- Whether a paused run paused by itself.
ALTER TABLE runs ADD COLUMN paused_itself smallint NOT NULL DEFAULT 0;
-- When nobody knew any more what became of it, whatever is known since.
ALTER TABLE deliveries ADD COLUMN doubted_at bigint;
