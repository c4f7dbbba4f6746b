SELECT stage, reason, http_status, body, at FROM exceptions
WHERE run = $1 AND round = $2 AND batch = $3 AND position = $4
