INSERT INTO sessions (session, name, version, embedded, started_at, seen_at, identity) VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)
ON CONFLICT (session) DO NOTHING
