SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles, b.state
FROM batches b WHERE b.run = $1 AND b.round = $2 AND b.batch = $3
