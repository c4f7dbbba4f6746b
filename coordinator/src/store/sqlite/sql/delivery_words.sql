SELECT http_status, detail FROM deliveries
WHERE run = ?1 AND round = ?2 AND batch = ?3 AND epoch = ?4 AND ordinal = ?5
