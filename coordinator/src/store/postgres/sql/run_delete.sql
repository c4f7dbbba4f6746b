-- The request_id may be used again.
UPDATE runs SET deleted_at = $2, request_id = NULL WHERE run = $1 AND state >= 3
