SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles, b.expires_at, l.secret, b.session
FROM batches b JOIN leases l ON l.run = b.run AND l.round = b.round AND l.batch = b.batch AND l.epoch = b.epoch
WHERE b.state = 1 AND b.session = ?1
