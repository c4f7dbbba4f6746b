SELECT page FROM pages WHERE run = $1 AND pass = $2 ORDER BY page
