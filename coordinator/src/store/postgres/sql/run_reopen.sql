-- What protects a run from itself begins anew. Counters stand in a row of their own, see run_changed.
WITH counters AS (UPDATE run_counters SET rejected_batches = 0, rejected_records = 0 WHERE run = $1)
UPDATE runs SET state = 0, state_reason = '', finished_at = NULL, round = $2,
                gone_accepted = (SELECT count(*) FROM exceptions e WHERE e.run = $1 AND e.kind = 1)
WHERE run = $1
