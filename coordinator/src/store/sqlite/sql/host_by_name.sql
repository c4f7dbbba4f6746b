SELECT full_at, closed_until FROM hosts WHERE host = ?1
