-- The newest: a run that stalls again and again has many.
SELECT id, round, event, reason, at, shown, state, tries, claimed, due_at, error, settled_at, destination
FROM notices WHERE run = ?1 ORDER BY notice DESC LIMIT ?2
