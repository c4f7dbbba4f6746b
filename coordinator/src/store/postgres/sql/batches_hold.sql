-- In one order, so that nobody waits in a circle. unnest: all in one statement.
SELECT 1 FROM batches b JOIN unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS k (run, round, batch)
     ON b.run = k.run AND b.round = k.round AND b.batch = k.batch
ORDER BY b.run, b.round, b.batch FOR UPDATE OF b
