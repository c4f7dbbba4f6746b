SELECT first_seq, size, state, attempt, available_at FROM batches WHERE run = ?1 AND round = ?2 AND batch = ?3
