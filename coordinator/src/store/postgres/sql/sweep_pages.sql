DELETE FROM pages WHERE (run, pass, page) IN (SELECT run, pass, page FROM pages WHERE run = $1 LIMIT $2)
