-- No INDEXED BY here: PostgreSQL keeps statistics, and plans by them.
SELECT number, round, batch, begun_at, http_status, detail, size, retry_of
FROM deliveries
WHERE run = $1 AND state = 4 AND withdrawn = 0 AND number > $2 ORDER BY number
