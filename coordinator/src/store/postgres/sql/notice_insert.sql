-- The same event is told to the same destination once, whoever notices it.
INSERT INTO notices (run, round, event, reason, at, id, due_at, destination, shown)
VALUES ($1, $2, $3, $4, $5, $6, $5, $7, $8)
ON CONFLICT (id, destination) DO NOTHING
