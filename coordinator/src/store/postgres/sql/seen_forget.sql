DELETE FROM seen WHERE run = $1
