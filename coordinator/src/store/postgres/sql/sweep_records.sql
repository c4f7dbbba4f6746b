DELETE FROM records WHERE (run, round, seq) IN (SELECT run, round, seq FROM records WHERE run = $1 LIMIT $2)
