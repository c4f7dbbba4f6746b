-- No INDEXED BY here: PostgreSQL keeps statistics, and plans by them.
SELECT r.run, r.id, o.round, o.stale FROM rounds o JOIN runs r ON r.run = o.run
WHERE o.stale > 0 AND r.deleted_at IS NULL
