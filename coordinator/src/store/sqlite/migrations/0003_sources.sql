-- Sources of every kind: what tells versions of a record apart, and records that came whole with the list.

ALTER TABLE records ADD COLUMN version TEXT; -- NULL: the pipeline asks for none, or the item has none

-- Items of lists that are whole records: nothing else is read of them. With row IDs, unlike the other tables: without
-- them SQLite gives each item of more than 1 kB pages of its own.
CREATE TABLE items (
    run   INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    round INTEGER NOT NULL,
    seq   INTEGER NOT NULL, -- of its record
    body  BLOB NOT NULL,    -- JSON as it came
    PRIMARY KEY (run, round, seq)
) STRICT;

-- Lists of every style, and lists that are held against themselves.
ALTER TABLE listings ADD COLUMN pass INTEGER NOT NULL DEFAULT 1; -- 2: it is listed a second time
ALTER TABLE listings ADD COLUMN last_page INTEGER;               -- NULL: not known yet
ALTER TABLE listings ADD COLUMN cursor TEXT;                     -- what the next request carries; NULL: nothing
ALTER TABLE listings ADD COLUMN total INTEGER;                   -- records that the source says it has

CREATE TABLE pages_of_passes (
    run          INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    pass         INTEGER NOT NULL,
    page         INTEGER NOT NULL,
    items        INTEGER NOT NULL,
    fresh        INTEGER NOT NULL, -- IDs that were not in the ledger before
    given_up     INTEGER NOT NULL DEFAULT 0,
    committed_at INTEGER NOT NULL,
    PRIMARY KEY (run, pass, page)
) STRICT, WITHOUT ROWID;
INSERT INTO pages_of_passes SELECT run, 1, page, items, fresh, given_up, committed_at FROM pages;
DROP TABLE pages;
ALTER TABLE pages_of_passes RENAME TO pages;

-- What was asked for in a list whose pages lead on by cursors, hashed; gone when it closes.
CREATE TABLE cursors (
    run    INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    pass   INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    PRIMARY KEY (run, pass, sha256)
) STRICT, WITHOUT ROWID;

-- Records that the second pass brought again; gone when it closes.
CREATE TABLE seen (
    run INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

-- Version of the worker protocol that a worker must speak to work on the run.
ALTER TABLE runs ADD COLUMN protocol INTEGER NOT NULL DEFAULT 1;

-- Runs that go on from an earlier one.
ALTER TABLE runs ADD COLUMN since_key INTEGER; -- NULL: none, or it was deleted before this one was started
ALTER TABLE runs ADD COLUMN since_id TEXT;     -- stays when that one is deleted

-- Listed, and not loaded again: that run has the same version loaded, or found it unchanged itself. In no batch.
CREATE TABLE unchanged (
    run     INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    id      TEXT NOT NULL, -- canonical JSON text
    page    INTEGER NOT NULL,
    version TEXT NOT NULL,
    seen    INTEGER NOT NULL DEFAULT 0, -- 1: the second pass brought it again
    PRIMARY KEY (run, id)
) STRICT, WITHOUT ROWID;
ALTER TABLE listings ADD COLUMN unchanged INTEGER NOT NULL DEFAULT 0; -- so many rows

-- Fields of records that were announced which their schema does not know, where the pipeline wants them reported.
CREATE TABLE unknown_fields (
    run       INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    round     INTEGER NOT NULL,
    path      TEXT NOT NULL,    -- a JSON pointer, * for any place in an array; empty: all that are not told apart
    batch     INTEGER NOT NULL,
    positions BLOB NOT NULL,    -- of the records that have it
    records   INTEGER NOT NULL, -- so many
    PRIMARY KEY (run, round, path, batch)
) STRICT, WITHOUT ROWID;

-- A record's batch, without walking over those behind it.
CREATE UNIQUE INDEX batches_by_seq ON batches (run, round, first_seq);
