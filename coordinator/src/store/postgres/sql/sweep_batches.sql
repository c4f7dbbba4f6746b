DELETE FROM batches WHERE (run, round, batch) IN (SELECT run, round, batch FROM batches WHERE run = $1 LIMIT $2)
