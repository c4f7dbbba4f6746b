UPDATE batches SET state = 1, epoch = $4, attempt = $5, session = $6, expires_at = $7
WHERE run = $1 AND round = $2 AND batch = $3
