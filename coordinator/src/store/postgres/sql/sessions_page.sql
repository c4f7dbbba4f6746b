-- A flag is a number here too, and PostgreSQL takes no number for a condition.
SELECT s.worker, s.session, s.name, s.version, s.embedded, s.started_at, s.seen_at, s.ended_at,
       (SELECT count(*) FROM batches b WHERE b.state = 1 AND b.session = s.session),
       (SELECT count(*) FROM leases l WHERE l.session = s.session AND l.ending = 0)
FROM sessions s WHERE s.worker < $1 AND ($3 = 1 OR (s.ended_at IS NULL AND s.seen_at >= $4))
ORDER BY s.worker DESC LIMIT $2
