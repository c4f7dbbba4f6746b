SELECT 1 FROM batches WHERE run = $1 AND round = $2 AND batch = $3 FOR UPDATE
