UPDATE sessions SET seen_at = $2, ended_at = $2 WHERE session = $1
