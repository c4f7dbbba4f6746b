-- What a probe or an operator found out; the worker's words about the POST stay.
UPDATE deliveries SET state = $6, present = $7, absent = $8, probes = $9, settled_by = $10, note = $11, settled_at = $12,
                      acknowledged = coalesce(acknowledged, $13)
WHERE run = $1 AND round = $2 AND batch = $3 AND epoch = $4 AND ordinal = $5
