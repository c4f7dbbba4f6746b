-- Updated first: an INSERT that runs into the row takes a number for nothing, with every call. unnest: the sessions of several
-- calls in one statement; in one order, so that nobody waits in a circle.
WITH k AS (SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) AS k (session, name, version, embedded)),
     held AS (SELECT s.session FROM sessions s JOIN k ON s.session = k.session ORDER BY s.session FOR UPDATE OF s),
     known AS (UPDATE sessions s SET seen_at = $1, ended_at = NULL FROM held WHERE s.session = held.session RETURNING s.session)
INSERT INTO sessions (session, name, version, embedded, started_at, seen_at)
SELECT k.session, k.name, k.version, k.embedded, $1, $1 FROM k WHERE k.session NOT IN (SELECT session FROM known)
ORDER BY k.session
ON CONFLICT (session) DO UPDATE SET seen_at = excluded.seen_at, ended_at = NULL
