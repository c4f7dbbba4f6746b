INSERT INTO leases (session, granted_at, run, round, batch, epoch, attempt, secret) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
