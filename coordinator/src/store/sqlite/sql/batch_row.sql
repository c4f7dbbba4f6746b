SELECT first_seq, size, state, epoch, attempt, available_at FROM batches WHERE run = ?1 AND round = ?2 AND batch = ?3
