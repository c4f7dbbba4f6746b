UPDATE batches SET state = 1, epoch = ?6, attempt = ?7, session = ?1, expires_at = ?2
WHERE run = ?3 AND round = ?4 AND batch = ?5
