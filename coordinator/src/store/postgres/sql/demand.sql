-- Each run that is not over, with its batches that are leased or could be. A paused run keeps its leases, but nobody can lease
-- more of it; nor can anybody lease what an earlier round left when it was cancelled.
SELECT r.max_workers,
       CASE r.state WHEN 0 THEN (SELECT count(*) FROM batches b WHERE b.run = r.run AND b.round = r.round AND b.state = 0) ELSE 0 END
       + (SELECT count(*) FROM batches b WHERE b.run = r.run AND b.state = 1)
FROM runs r WHERE r.state < 3 AND ($1::text IS NULL OR r.pipeline = $1)
