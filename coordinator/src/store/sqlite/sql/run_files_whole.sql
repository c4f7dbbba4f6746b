UPDATE runs SET files_whole = 1 WHERE run = ?1 AND acknowledged = ?2
