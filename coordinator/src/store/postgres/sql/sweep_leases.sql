DELETE FROM leases WHERE (run, round, batch, epoch) IN (SELECT run, round, batch, epoch FROM leases WHERE run = $1 LIMIT $2)
