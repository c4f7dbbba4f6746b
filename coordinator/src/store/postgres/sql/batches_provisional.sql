-- No INDEXED BY here: PostgreSQL keeps statistics, and plans by them.
SELECT DISTINCT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles, b.state
FROM exceptions e JOIN batches b ON b.run = e.run AND b.round = e.round AND b.batch = e.batch
WHERE e.run = $1 AND e.provisional = 1
