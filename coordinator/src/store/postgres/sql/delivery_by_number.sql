SELECT round, batch, settled_by FROM deliveries WHERE run = $1 AND number = $2
