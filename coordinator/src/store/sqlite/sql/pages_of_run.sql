SELECT page FROM pages WHERE run = ?1 ORDER BY page
