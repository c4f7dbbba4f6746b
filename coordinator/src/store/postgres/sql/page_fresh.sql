UPDATE pages SET fresh = $3 WHERE run = $1 AND page = $2 AND pass = $4
