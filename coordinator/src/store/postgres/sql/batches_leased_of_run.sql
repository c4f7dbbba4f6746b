-- FOR UPDATE: a renewal may be under way, which does not hold the run.
SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles
FROM batches b WHERE b.state = 1 AND b.run = $1
ORDER BY b.round, b.batch FOR UPDATE
