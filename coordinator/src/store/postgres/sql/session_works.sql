SELECT 1::bigint FROM sessions WHERE session = $1 AND ended_at IS NULL
