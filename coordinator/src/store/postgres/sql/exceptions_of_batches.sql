-- exceptions_of_batch, for the batches of a group of transitions; behind its columns the batch.
SELECT e.position, e.kind, e.run, e.round, e.batch
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS k (run, round, batch)
JOIN exceptions e ON e.run = k.run AND e.round = k.round AND e.batch = k.batch ORDER BY e.position
