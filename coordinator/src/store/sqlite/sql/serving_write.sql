INSERT INTO serving (one, since, seen_at) VALUES (1, ?1, ?2)
ON CONFLICT (one) DO UPDATE SET since = excluded.since, seen_at = excluded.seen_at
