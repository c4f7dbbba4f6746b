-- No INDEXED BY here: PostgreSQL keeps statistics, and plans by them.
UPDATE exceptions SET provisional = 0 WHERE run = $1 AND provisional = 1
