SELECT coalesce(
    (SELECT number FROM deliveries WHERE run = $1 AND acknowledged IS NOT NULL ORDER BY acknowledged DESC LIMIT 1) > $2,
    false)
