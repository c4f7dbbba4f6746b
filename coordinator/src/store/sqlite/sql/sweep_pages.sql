DELETE FROM pages WHERE (run, page) IN (SELECT run, page FROM pages WHERE run = ?1 LIMIT ?2)
