INSERT INTO batches (run, round, batch, first_seq, size) VALUES (?1, ?2, ?3, ?4, ?5)
