SELECT l.closed_at IS NOT NULL, l.total_pages, l.next_seq, (SELECT count(*) FROM pages p WHERE p.run = l.run AND p.given_up = 0)
FROM listings l WHERE l.run = ?1
