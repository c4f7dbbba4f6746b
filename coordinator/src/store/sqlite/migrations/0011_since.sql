-- What a run that goes on from an earlier one asks of it. Only adds: a program that knows none of this goes on writing.

-- When the run was started by the machine's wall clock, where created_at is by the ledger's, which may be ahead of that for long;
-- NULL: by a program that knows none of this.
ALTER TABLE runs ADD COLUMN wall_at INTEGER;

-- Other revisions of the run's pipeline that load alike, under which the run that it goes on from has worked.
CREATE TABLE loads_alike (
    run      INTEGER NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    revision TEXT NOT NULL,
    PRIMARY KEY (run, revision)
) STRICT, WITHOUT ROWID;

-- Records of the run that are gone, counted as they come.
ALTER TABLE runs ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET gone = (SELECT count(*) FROM exceptions e INDEXED BY exceptions_gone WHERE e.run = runs.run AND e.kind = 1);
