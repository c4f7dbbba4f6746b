-- ON CONFLICT DO NOTHING is OR IGNORE in standard words.
INSERT INTO pipelines (revision, name, canonical, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
