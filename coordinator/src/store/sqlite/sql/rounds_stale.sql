SELECT r.id, o.round FROM rounds o INDEXED BY rounds_stale JOIN runs r ON r.run = o.run
WHERE o.stale = 1 AND r.deleted_at IS NULL
