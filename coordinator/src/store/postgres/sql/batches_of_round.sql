-- A flag is a number here too, and PostgreSQL takes no number for a condition.
SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles, b.state
FROM batches b WHERE b.run = $1 AND b.round = $2 AND ($3 = 1 OR EXISTS
  (SELECT 1 FROM exceptions e WHERE e.run = b.run AND e.round = b.round AND e.batch = b.batch))
ORDER BY b.batch
