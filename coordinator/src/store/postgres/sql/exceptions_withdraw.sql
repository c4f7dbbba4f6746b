DELETE FROM exceptions WHERE run = $1 AND provisional = 1
