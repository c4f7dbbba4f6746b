SELECT host, closed_until FROM hosts WHERE closed_until > ?1 ORDER BY host
