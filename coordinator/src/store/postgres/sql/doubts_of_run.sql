-- No INDEXED BY here: PostgreSQL keeps statistics, and plans by them.
-- Not those that say nothing any more, which a run may have many of: a delivery stays in doubt when its repetition is applied,
-- and then its batch has no record in doubt; and one whose records are all in doubt by repetitions of it has none hanging on it.
-- state + 0: repetitions are looked for in their batch, not among all that is in doubt in the run.
SELECT number, round, batch, begun_at, http_status, detail, size, retry_of,
       (SELECT l.trace_id FROM leases l WHERE l.run = d.run AND l.round = d.round AND l.batch = d.batch AND l.epoch = d.epoch)
FROM deliveries d
WHERE run = $1 AND state = 4 AND withdrawn = 0 AND number > $2
  AND (SELECT b.in_doubt FROM batches b WHERE b.run = d.run AND b.round = d.round AND b.batch = d.batch) > 0
  AND size > (SELECT coalesce(sum(r.size), 0) FROM deliveries r
              WHERE r.run = d.run AND r.round = d.round AND r.batch = d.batch AND r.retry_of = d.number
                AND r.state + 0 = 4 AND r.absent IS NULL)
ORDER BY number LIMIT $3
