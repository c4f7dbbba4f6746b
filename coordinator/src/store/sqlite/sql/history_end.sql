SELECT max(settled_at) FROM deliveries WHERE run = ?1 AND state = 1
