SELECT 1 FROM sessions WHERE session = ?1 AND ended_at IS NULL
