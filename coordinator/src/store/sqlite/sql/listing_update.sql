UPDATE listings SET total_pages = ?2, next_seq = ?3, next_batch = ?4 WHERE run = ?1
