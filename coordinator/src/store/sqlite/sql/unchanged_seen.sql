-- 0 rows: the second pass brought it before.
UPDATE unchanged SET seen = 1 WHERE run = ?1 AND id = ?2 AND seen = 0
