-- No INDEXED BY here: PostgreSQL keeps statistics, and plans by them.
SELECT round, batch, settled_by FROM deliveries
WHERE run = $1 AND number = $2 AND state = 4
