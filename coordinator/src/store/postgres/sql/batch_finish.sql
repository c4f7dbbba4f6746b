-- State, lease and tally of a batch after its lease ended, or after late evidence.
UPDATE batches SET state = $4, available_at = $5, attempt = $6, lost = $7, singles = $8, session = NULL,
                   loaded = $9, dead_letter = $10, gone = $11, in_doubt = $12
WHERE run = $1 AND round = $2 AND batch = $3
