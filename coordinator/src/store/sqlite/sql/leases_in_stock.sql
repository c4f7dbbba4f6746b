-- For each session that was heard of lately: its leases without an open delivery, and how many of them are of runs that any
-- worker of this version may work on. The index holds what is leased, by session.
SELECT b.session, count(*),
       count(*) FILTER (WHERE r.state = 0 AND r.max_workers = 0 AND (r.on_doubt <> 2 OR ?2 >= 2) AND r.protocol <= max(?2, 1))
FROM batches b INDEXED BY batches_of_session
CROSS JOIN runs r ON r.run = b.run
CROSS JOIN sessions s ON s.session = b.session
WHERE b.state = 1 AND s.ended_at IS NULL AND s.seen_at >= ?1
      AND NOT EXISTS (SELECT 1 FROM deliveries d INDEXED BY deliveries_open
                      WHERE d.run = b.run AND d.round = b.round AND d.batch = b.batch AND d.state = 0)
GROUP BY b.session ORDER BY b.session
