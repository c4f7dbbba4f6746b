INSERT INTO records (run, round, seq, id, page, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
