SELECT run, round, batch, epoch, attempt, size, session FROM batches WHERE state = 1 AND expires_at <= ?1
ORDER BY expires_at LIMIT ?2
