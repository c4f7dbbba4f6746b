SELECT l.epoch, l.attempt, coalesce(s.name, ''), coalesce(s.worker, 0), l.granted_at, l.ended_at, l.ending, l.trace_id
FROM leases l LEFT JOIN sessions s ON s.session = l.session
WHERE l.run = $1 AND l.round = $2 AND l.batch = $3 ORDER BY l.epoch
