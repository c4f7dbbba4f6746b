DELETE FROM items WHERE (run, round, seq) IN (SELECT run, round, seq FROM items WHERE run = $1 LIMIT $2)
