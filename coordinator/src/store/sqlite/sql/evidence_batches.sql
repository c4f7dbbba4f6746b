SELECT batch, first_seq, size, state FROM batches WHERE run = ?1 AND round = ?2 ORDER BY batch
