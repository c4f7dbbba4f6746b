UPDATE deliveries SET state = $6, http_status = $7, detail = $8, settled_at = $9, acknowledged = $10,
                      present = $11, absent = $12,
                      doubted_at = CASE WHEN $6 = 4 THEN $9 ELSE doubted_at END
WHERE run = $1 AND round = $2 AND batch = $3 AND epoch = $4 AND ordinal = $5
