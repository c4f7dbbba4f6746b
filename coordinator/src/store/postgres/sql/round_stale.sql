-- Only of a round that is over: one that goes on has no verdict yet. A number, so that a verdict is known to be older.
UPDATE rounds SET stale = stale + 1 WHERE run = $1 AND round = $2 AND finished_at IS NOT NULL
