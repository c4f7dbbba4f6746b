-- State, lease and tally of a batch after its lease ended, or after late evidence.
UPDATE batches SET state = ?4, available_at = ?5, attempt = ?6, session = NULL,
                   loaded = ?7, dead_letter = ?8, gone = ?9, in_doubt = ?10
WHERE run = ?1 AND round = ?2 AND batch = ?3
