-- deliveries_of_batch, for the batches of a group of transitions; behind its columns the batch.
SELECT d.number, d.epoch, d.ordinal, d.positions, d.size, d.state, d.tries, d.begun_at, d.body_sha256, d.retry_of,
       d.present, d.absent, d.probes, d.withdrawn, d.contradicted, d.http_status, d.run, d.round, d.batch
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS k (run, round, batch)
JOIN deliveries d ON d.run = k.run AND d.round = k.round AND d.batch = k.batch ORDER BY d.number
