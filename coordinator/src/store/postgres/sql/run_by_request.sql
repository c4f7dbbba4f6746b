SELECT run, request_digest FROM runs WHERE request_id = $1 AND deleted_at IS NULL
