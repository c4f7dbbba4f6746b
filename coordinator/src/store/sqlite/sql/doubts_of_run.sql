SELECT number, round, batch, begun_at, http_status, detail, size, retry_of,
       (SELECT l.trace_id FROM leases l WHERE l.run = d.run AND l.round = d.round AND l.batch = d.batch AND l.epoch = d.epoch)
FROM deliveries d INDEXED BY deliveries_in_doubt
WHERE run = ?1 AND state = 4 AND withdrawn = 0 AND number > ?2 ORDER BY number
