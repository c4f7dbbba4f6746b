SELECT records, batches FROM rounds WHERE run = $1 AND round = $2
