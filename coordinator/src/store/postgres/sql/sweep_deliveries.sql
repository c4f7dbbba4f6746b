DELETE FROM deliveries WHERE (run, round, batch, epoch, ordinal) IN (SELECT run, round, batch, epoch, ordinal FROM deliveries WHERE run = $1 LIMIT $2)
