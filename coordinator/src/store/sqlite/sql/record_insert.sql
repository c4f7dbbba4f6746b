-- 0 rows: the ID was listed before.
INSERT OR IGNORE INTO records (run, round, seq, id, page, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
