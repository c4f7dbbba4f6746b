SELECT count(*) FROM exceptions WHERE run = $1 AND kind = 1
