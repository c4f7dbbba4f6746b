-- unnest: all batches of an answer in one statement; they are held.
UPDATE batches b SET state = 1, epoch = k.epoch, attempt = k.attempt, session = $1, expires_at = $2
FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) AS k (run, round, batch, epoch, attempt)
WHERE b.run = k.run AND b.round = k.round AND b.batch = k.batch
