SELECT position, kind FROM exceptions WHERE run = $1 AND round = $2 AND batch = $3 ORDER BY position
