DELETE FROM seen WHERE (run, seq) IN (SELECT run, seq FROM seen WHERE run = $1 LIMIT $2)
