SELECT run, round, batch, epoch, attempt, size, session,
       coalesce((SELECT s.name FROM sessions s WHERE s.session = batches.session), '')
FROM batches WHERE state = 1 AND expires_at <= ?1
ORDER BY expires_at LIMIT ?2
