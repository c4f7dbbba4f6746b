-- ON CONFLICT DO NOTHING is OR IGNORE in standard words.
-- 0 rows: it was asked for before.
INSERT INTO cursors (run, pass, sha256) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
