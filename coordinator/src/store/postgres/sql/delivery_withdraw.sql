-- Its records went on in another round; in its own it stays in doubt.
UPDATE deliveries SET withdrawn = $6, settled_by = 'operator', note = $7
WHERE run = $1 AND round = $2 AND batch = $3 AND epoch = $4 AND ordinal = $5
