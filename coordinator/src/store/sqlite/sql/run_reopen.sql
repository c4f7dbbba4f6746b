-- What protects a run from itself begins anew.
UPDATE runs SET state = 0, state_reason = '', finished_at = NULL, round = ?2, rejected_batches = 0, rejected_records = 0,
                gone_accepted = (SELECT count(*) FROM exceptions e INDEXED BY exceptions_gone WHERE e.run = ?1 AND e.kind = 1)
WHERE run = ?1
