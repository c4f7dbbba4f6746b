UPDATE sessions SET seen_at = $2 WHERE session = $1
