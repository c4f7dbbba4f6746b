UPDATE rounds SET stale = 0 WHERE run = $1 AND round = $2 AND stale = $3
