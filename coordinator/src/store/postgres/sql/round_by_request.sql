SELECT request_digest, records FROM rounds WHERE run = $1 AND request_id = $2
