UPDATE sessions SET ended_at = $1 WHERE embedded = 1 AND ended_at IS NULL
