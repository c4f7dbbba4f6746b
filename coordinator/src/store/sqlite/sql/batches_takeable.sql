-- Ready batches of a run, in order. Without INDEXED BY the planner walks over all batches that are done.
SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles
FROM batches b INDEXED BY batches_ready
WHERE b.run = ?2 AND b.round = ?3 AND b.batch > ?4 AND b.state = 0 AND b.available_at <= ?1
ORDER BY b.batch LIMIT ?5
