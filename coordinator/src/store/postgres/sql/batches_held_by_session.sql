-- SKIP LOCKED: what another call of this session is about is no lost answer. Its run is held together with others.
SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles, b.expires_at, l.secret
FROM batches b JOIN leases l ON l.run = b.run AND l.round = b.round AND l.batch = b.batch AND l.epoch = b.epoch
JOIN runs r ON r.run = b.run
WHERE b.state = 1 AND b.session = $1
ORDER BY b.run, b.round, b.batch
FOR UPDATE OF b SKIP LOCKED FOR SHARE OF r SKIP LOCKED
