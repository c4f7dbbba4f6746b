-- Updated first: an INSERT that runs into the row takes a number for nothing, with every call.
WITH known AS (UPDATE sessions SET seen_at = $5, ended_at = NULL WHERE session = $1 RETURNING 1)
INSERT INTO sessions (session, name, version, embedded, started_at, seen_at)
SELECT $1, $2, $3, $4, $5, $5 WHERE NOT EXISTS (SELECT 1 FROM known)
ON CONFLICT (session) DO UPDATE SET seen_at = excluded.seen_at, ended_at = NULL
