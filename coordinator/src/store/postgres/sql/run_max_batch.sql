SELECT max_batch FROM runs WHERE run = $1
