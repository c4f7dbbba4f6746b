UPDATE batches SET state = 1, epoch = ?6, attempt = ?7, session = ?2, expires_at = ?1
WHERE run = ?3 AND round = ?4 AND batch = ?5
