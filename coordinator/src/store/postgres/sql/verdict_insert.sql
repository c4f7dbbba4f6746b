INSERT INTO verdicts (run, round, verdict) VALUES ($1, $2, $3)
ON CONFLICT (run, round) DO UPDATE SET verdict = excluded.verdict
