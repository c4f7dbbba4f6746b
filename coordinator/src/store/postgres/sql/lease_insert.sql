-- unnest: all leases of all answers in one statement.
INSERT INTO leases (session, granted_at, run, round, batch, epoch, attempt, secret)
SELECT k.session, $1, k.run, k.round, k.batch, k.epoch, k.attempt, k.secret
FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[])
     AS k (session, run, round, batch, epoch, attempt, secret)
