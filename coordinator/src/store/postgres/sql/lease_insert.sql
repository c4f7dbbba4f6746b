INSERT INTO leases (run, round, batch, epoch, secret, session, attempt, granted_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
