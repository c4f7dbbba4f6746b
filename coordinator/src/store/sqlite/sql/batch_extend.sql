-- Never shortens: an open delivery holds the lease for longer than a renewal would.
UPDATE batches SET expires_at = max(expires_at, ?1) WHERE run = ?2 AND round = ?3 AND batch = ?4
