SELECT secret FROM leases WHERE run = $1 AND round = $2 AND batch = $3 AND epoch = $4
