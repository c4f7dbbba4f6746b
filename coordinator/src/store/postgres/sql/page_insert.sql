-- ON CONFLICT DO NOTHING is OR IGNORE in standard words.
-- 0 rows: the page was committed before.
INSERT INTO pages (run, page, items, fresh, given_up, committed_at, pass) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING
