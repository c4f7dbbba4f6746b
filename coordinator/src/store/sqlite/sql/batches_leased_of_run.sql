SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles
FROM batches b INDEXED BY batches_leased WHERE b.state = 1 AND b.run = ?1
