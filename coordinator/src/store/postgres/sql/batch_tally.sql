UPDATE batches SET loaded = $4, dead_letter = $5, gone = $6, in_doubt = $7
WHERE run = $1 AND round = $2 AND batch = $3
