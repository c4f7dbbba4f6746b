-- No INDEXED BY here: PostgreSQL keeps statistics, and plans by them.
DELETE FROM exceptions WHERE run = $1 AND provisional = 1
