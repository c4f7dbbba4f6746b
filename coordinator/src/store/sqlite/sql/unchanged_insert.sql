INSERT INTO unchanged (run, id, page, version) VALUES (?1, ?2, ?3, ?4)
