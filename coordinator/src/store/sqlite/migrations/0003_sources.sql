-- Sources of every kind: what tells versions of a record apart, and records that came whole with the list.

ALTER TABLE records ADD COLUMN version TEXT; -- NULL: the pipeline asks for none, or the item has none

-- Items of lists that are whole records: nothing else is read of them.
CREATE TABLE items (
    run   INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    round INTEGER NOT NULL,
    seq   INTEGER NOT NULL, -- of its record
    body  BLOB NOT NULL,    -- JSON as it came
    PRIMARY KEY (run, round, seq)
) STRICT, WITHOUT ROWID;
