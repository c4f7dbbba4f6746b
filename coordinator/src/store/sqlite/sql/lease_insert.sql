INSERT INTO leases (session, granted_at, run, round, batch, epoch, attempt, secret) VALUES (?2, ?1, ?3, ?4, ?5, ?6, ?7, ?8)
