SELECT batch FROM batches WHERE run = $1 AND round = $2 AND batch >= $3 ORDER BY batch LIMIT 1
