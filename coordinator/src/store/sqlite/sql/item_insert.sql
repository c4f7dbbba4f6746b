INSERT INTO items (run, round, seq, body) VALUES (?1, ?2, ?3, ?4)
