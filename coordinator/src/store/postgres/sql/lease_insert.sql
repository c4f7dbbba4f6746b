-- unnest: all leases of an answer in one statement.
INSERT INTO leases (session, granted_at, run, round, batch, epoch, attempt, secret)
SELECT $1, $2, k.run, k.round, k.batch, k.epoch, k.attempt, k.secret
FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[])
     AS k (run, round, batch, epoch, attempt, secret)
