SELECT count(*), coalesce(sum(size), 0) FROM deliveries INDEXED BY deliveries_open WHERE run = ?1 AND round = ?2 AND state = 0
