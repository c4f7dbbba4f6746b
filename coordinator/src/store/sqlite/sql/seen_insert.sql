INSERT INTO seen (run, seq) VALUES (?1, ?2)
