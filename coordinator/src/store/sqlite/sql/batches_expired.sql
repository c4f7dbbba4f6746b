SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles, b.session,
       coalesce((SELECT s.name FROM sessions s WHERE s.session = b.session), '')
FROM batches b WHERE b.state = 1 AND b.expires_at <= ?1
ORDER BY b.expires_at LIMIT ?2
