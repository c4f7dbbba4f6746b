DELETE FROM exceptions WHERE (run, round, batch, position) IN (SELECT run, round, batch, position FROM exceptions WHERE run = $1 LIMIT $2)
