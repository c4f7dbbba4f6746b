SELECT positions FROM unknown_fields WHERE run = $1 AND round = $2 AND path = $3 AND batch = $4
