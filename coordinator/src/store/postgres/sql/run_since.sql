-- The run that this one goes on from, while it is there.
SELECT s.run, s.id FROM runs r JOIN runs s ON s.run = r.since_key AND s.id = r.since_id
WHERE r.run = $1 AND s.deleted_at IS NULL
