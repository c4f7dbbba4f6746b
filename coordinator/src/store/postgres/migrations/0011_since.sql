-- What a run that goes on from an earlier one asks of it. Only adds: a program that knows none of this goes on writing.

-- When the run was started by the machine's wall clock, where created_at is by the ledger's, which may be ahead of that for long;
-- NULL: by a program that knows none of this.
ALTER TABLE runs ADD COLUMN wall_at bigint;

-- Other revisions of the run's pipeline that load alike, under which the run that it goes on from has worked.
CREATE TABLE loads_alike (
    run      bigint NOT NULL REFERENCES runs (run) ON DELETE CASCADE,
    revision text NOT NULL,
    PRIMARY KEY (run, revision)
);

-- Records of the run that are gone, counted as they come: not by an older program beside this one.
ALTER TABLE run_counters ADD COLUMN gone bigint NOT NULL DEFAULT 0;
UPDATE run_counters c SET gone = (SELECT count(*) FROM exceptions e WHERE e.run = c.run AND e.kind = 1);
