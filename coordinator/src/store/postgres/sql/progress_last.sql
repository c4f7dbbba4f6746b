-- When progress_since would have said so last; NULL: never.
SELECT max(t.at) FROM (
    SELECT max(d.settled_at) AS at FROM deliveries d WHERE d.run = $1 AND d.round = $2 AND d.state IN (1, 3, 5)
    UNION ALL SELECT max(e.at) FROM exceptions e WHERE e.run = $1 AND e.round = $2
    UNION ALL SELECT max(p.committed_at) FROM pages p WHERE p.run = $1
    UNION ALL SELECT max(f.at) FROM (SELECT min(d.doubted_at) AS at FROM deliveries d
                                     WHERE d.run = $1 AND d.round = $2 AND d.doubted_at IS NOT NULL GROUP BY d.batch) f) t
