-- No INDEXED BY here: PostgreSQL keeps statistics, and plans by them.
-- Whoever resumes a run accepts what is gone so far.
UPDATE runs SET state = 0, state_reason = '', resumed_at = $2,
                gone_accepted = (SELECT count(*) FROM exceptions e WHERE e.run = $1 AND e.kind = 1)
WHERE run = $1 AND state = 1
