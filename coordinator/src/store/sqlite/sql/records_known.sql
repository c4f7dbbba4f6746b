SELECT id, seq, page FROM records WHERE run = ?1 AND round = ?2 AND id = ?3
