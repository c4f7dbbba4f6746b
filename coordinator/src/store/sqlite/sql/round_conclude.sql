UPDATE rounds SET finished_at = ?3, cancelled = ?4, stale = 0 WHERE run = ?1 AND round = ?2
