-- Never shortens: an open delivery holds the lease for longer than a renewal would.
-- greatest: PostgreSQL's max is for rows.
UPDATE batches SET expires_at = greatest(expires_at, $4) WHERE run = $1 AND round = $2 AND batch = $3
