-- unnest: all batches of all answers in one statement; they are held.
UPDATE batches b SET state = 1, epoch = k.epoch, attempt = k.attempt, session = k.session, expires_at = $1
FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
     AS k (session, run, round, batch, epoch, attempt)
WHERE b.run = k.run AND b.round = k.round AND b.batch = k.batch
