DELETE FROM unchanged WHERE (run, id) IN (SELECT run, id FROM unchanged WHERE run = $1 LIMIT $2)
