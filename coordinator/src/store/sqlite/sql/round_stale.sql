-- Only of a round that is over: one that goes on has no verdict yet.
UPDATE rounds SET stale = 1 WHERE run = ?1 AND round = ?2 AND finished_at IS NOT NULL
