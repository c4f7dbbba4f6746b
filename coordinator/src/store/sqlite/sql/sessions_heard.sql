SELECT count(*) FROM sessions WHERE ended_at IS NULL AND seen_at >= ?1
