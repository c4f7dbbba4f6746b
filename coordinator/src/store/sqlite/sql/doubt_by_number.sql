SELECT round, batch, settled_by FROM deliveries INDEXED BY deliveries_in_doubt
WHERE run = ?1 AND number = ?2 AND state = 4
