-- 0 rows: the second pass brought it before.
INSERT OR IGNORE INTO seen (run, seq) VALUES (?1, ?2)
