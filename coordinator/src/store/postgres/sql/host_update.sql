UPDATE hosts SET full_at = $2, closed_until = $3 WHERE host = $1
