-- No INDEXED BY here: PostgreSQL keeps statistics, and plans by them.
SELECT count(*) FROM exceptions WHERE run = $1 AND kind = 1
