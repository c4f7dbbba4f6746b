INSERT INTO sessions (session, name, version, embedded, started_at, seen_at) VALUES (?2, ?3, ?4, ?5, ?1, ?1)
ON CONFLICT (session) DO UPDATE SET seen_at = excluded.seen_at, ended_at = NULL
