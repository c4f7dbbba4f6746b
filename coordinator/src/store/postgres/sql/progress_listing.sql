-- The first round has what was listed, later ones what they took over.
SELECT l.closed_at IS NOT NULL, l.total_pages,
       CASE $2 WHEN 1 THEN l.next_seq + l.unchanged ELSE (SELECT o.records FROM rounds o WHERE o.run = l.run AND o.round = $2) END,
       (SELECT count(*) FROM pages p WHERE p.run = l.run AND p.pass = 1 AND p.given_up = 0),
       CASE $2 WHEN 1 THEN l.unchanged ELSE 0 END
FROM listings l WHERE l.run = $1
