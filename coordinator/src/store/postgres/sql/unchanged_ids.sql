SELECT id, page FROM unchanged WHERE run = $1 AND id > $2 ORDER BY id LIMIT $3
