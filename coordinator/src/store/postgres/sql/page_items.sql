SELECT items FROM pages WHERE run = $1 AND pass = $2 AND page = $3 AND given_up = 0
