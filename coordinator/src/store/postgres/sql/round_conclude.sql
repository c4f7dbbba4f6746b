-- As the run ended, not as it was when the audit read it: it may have been cancelled in between.
-- A flag is a number here too, and PostgreSQL does not take a condition for one.
UPDATE rounds SET finished_at = $3, stale = 0, cancelled = (SELECT (state = 3)::integer FROM runs WHERE run = $1)
WHERE run = $1 AND round = $2
