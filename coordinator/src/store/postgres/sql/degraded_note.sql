-- The database runs with what loses acknowledged commits: every verdict of a run of that time says so.
INSERT INTO degraded (one, began_at, seen_at) VALUES (1, $1, $1)
ON CONFLICT (one) DO UPDATE SET seen_at = greatest(degraded.seen_at, excluded.seen_at)
