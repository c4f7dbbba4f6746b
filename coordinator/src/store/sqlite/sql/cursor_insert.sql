-- 0 rows: it was asked for before.
INSERT OR IGNORE INTO cursors (run, pass, sha256) VALUES (?1, ?2, ?3)
