-- The latest may be late words about an old delivery: so a few are looked at.
SELECT count(*) > 0 FROM
    (SELECT number FROM deliveries WHERE run = ?1 AND acknowledged IS NOT NULL ORDER BY acknowledged DESC LIMIT 50) AS latest
WHERE number > ?2
