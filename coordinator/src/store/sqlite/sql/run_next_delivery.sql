UPDATE runs SET deliveries = deliveries + 1 WHERE run = ?1 RETURNING deliveries
