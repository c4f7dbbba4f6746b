-- Never shortens: an open delivery holds the lease for longer than a renewal would.
UPDATE batches SET expires_at = max(expires_at, ?4) WHERE run = ?1 AND round = ?2 AND batch = ?3
