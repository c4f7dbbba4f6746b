INSERT INTO loads_alike (run, revision) VALUES (?1, ?2)
