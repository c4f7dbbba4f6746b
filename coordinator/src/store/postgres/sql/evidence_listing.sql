-- What a round has to account for: the first what the pages brought, later ones what they took over. Last: whether what
-- was acknowledged may have been lost with the power (see degraded): not where the run was over before that began, and nothing
-- was acknowledged later, as when a doubt is settled.
-- Sums of bigint are numeric here; the casts make them bigint again.
SELECT l.closed_at IS NOT NULL, l.total_pages,
       (SELECT count(*) FROM pages p WHERE p.run = l.run AND p.pass = 1 AND p.given_up = 0),
       CASE $2 WHEN 1 THEN (SELECT coalesce(sum(p.fresh), 0)::bigint FROM pages p WHERE p.run = l.run)
               ELSE (SELECT o.records FROM rounds o WHERE o.run = l.run AND o.round = $2) END,
       (SELECT count(*) FROM records r WHERE r.run = l.run AND r.round = $2),
       (SELECT coalesce(max(r.seq) + 1, 0) FROM records r WHERE r.run = l.run AND r.round = $2),
       CASE $2 WHEN 1 THEN (SELECT count(*) FROM unchanged u WHERE u.run = l.run) ELSE 0 END,
       CASE $2 WHEN 1 THEN (SELECT count(*) FROM unchanged u JOIN records r ON r.run = u.run AND r.id = u.id
                            WHERE u.run = l.run) ELSE 0 END,
       EXISTS (SELECT 1 FROM degraded d JOIN runs r ON r.run = l.run
               WHERE d.seen_at >= r.created_at
                 AND (r.finished_at IS NULL OR d.began_at <= r.finished_at OR d.began_at <= (
                     SELECT a.settled_at FROM deliveries a WHERE a.run = l.run AND a.acknowledged IS NOT NULL
                     ORDER BY a.acknowledged DESC LIMIT 1)))
FROM listings l WHERE l.run = $1
