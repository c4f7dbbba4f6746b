UPDATE leases SET ended_at = coalesce(ended_at, $5), ending = coalesce(ending, $6)
WHERE run = $1 AND round = $2 AND batch = $3 AND epoch = $4
