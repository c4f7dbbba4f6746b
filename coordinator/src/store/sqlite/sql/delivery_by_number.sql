SELECT round, batch, state, withdrawn, settled_by FROM deliveries WHERE run = ?1 AND number = ?2
