-- The same announcement again: the POST goes out after this one's answer, so the target's time counts from now.
UPDATE deliveries SET begun_at = $6 WHERE run = $1 AND round = $2 AND batch = $3 AND epoch = $4 AND ordinal = $5
