UPDATE runs SET gone = gone + ?2 WHERE run = ?1 RETURNING gone
