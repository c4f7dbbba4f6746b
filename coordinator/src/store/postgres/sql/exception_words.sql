SELECT position, stage, reason, http_status FROM exceptions WHERE run = $1 AND round = $2 AND batch = $3
