INSERT INTO sessions (session, name, version, embedded, started_at, seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
ON CONFLICT (session) DO UPDATE SET seen_at = excluded.seen_at, ended_at = NULL
