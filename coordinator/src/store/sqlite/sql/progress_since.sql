-- Has a page come, or has a record reached an end, or a batch become doubtful for the first time? What is sent again and again
-- changes nothing. All of these times stay as they are written, so that the last progress only grows: a doubt has been one
-- whatever becomes of it, and a probe in vain is none. Newest first: where a run goes on, a row of each table says so.
SELECT coalesce((SELECT 1 FROM deliveries d WHERE d.run = ?1 AND d.round = ?2 AND d.settled_at > ?3
                   AND d.state IN (1, 3, 5) ORDER BY d.batch DESC LIMIT 1),
                (SELECT 1 FROM exceptions e WHERE e.run = ?1 AND e.round = ?2 AND e.at > ?3 ORDER BY e.batch DESC LIMIT 1),
                (SELECT 1 FROM pages p WHERE p.run = ?1 AND p.committed_at > ?3 ORDER BY p.pass DESC, p.page DESC LIMIT 1),
                (SELECT 1 FROM deliveries d WHERE d.run = ?1 AND d.round = ?2 AND d.doubted_at IS NOT NULL
                 GROUP BY d.batch HAVING min(d.doubted_at) > ?3 LIMIT 1),
                0)
