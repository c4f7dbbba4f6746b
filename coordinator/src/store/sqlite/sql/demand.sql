-- Each run that is not over, with its batches that are leased or could be. A paused run keeps its leases, but nobody can lease
-- more of it; nor can anybody lease what an earlier round left when it was cancelled.
SELECT r.max_workers,
       CASE r.state WHEN 0 THEN (SELECT count(*) FROM batches b INDEXED BY batches_ready
                                 WHERE b.run = r.run AND b.round = r.round AND b.state = 0) ELSE 0 END
       + (SELECT count(*) FROM batches b INDEXED BY batches_leased WHERE b.state = 1 AND b.run = r.run)
FROM runs r INDEXED BY runs_not_over WHERE r.state < 3 AND (?1 IS NULL OR r.pipeline = ?1)
