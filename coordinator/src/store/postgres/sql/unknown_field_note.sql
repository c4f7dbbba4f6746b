INSERT INTO unknown_fields (run, round, path, batch, positions, records) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (run, round, path, batch) DO UPDATE SET positions = excluded.positions, records = excluded.records
