SELECT number FROM deliveries WHERE run = $1 AND round = $2 AND batch = $3 AND acknowledged < $4
