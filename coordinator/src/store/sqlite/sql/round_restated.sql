UPDATE rounds SET stale = 0 WHERE run = ?1 AND round = ?2 AND EXISTS (SELECT 1 FROM runs WHERE run = ?1 AND changes = ?3)
