UPDATE runs SET priority = ?2, weight = ?3, max_workers = ?4 WHERE run = ?1
