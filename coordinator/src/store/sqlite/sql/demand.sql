-- A paused run is not over and keeps its leases, but nobody can lease more of it.
SELECT count(*) > 0, coalesce(sum(
    CASE r.state WHEN 0 THEN (SELECT count(*) FROM batches b INDEXED BY batches_ready WHERE b.run = r.run AND b.state = 0) ELSE 0 END
    + (SELECT count(*) FROM batches b INDEXED BY batches_leased WHERE b.run = r.run AND b.state = 1)), 0)
FROM runs r INDEXED BY runs_not_over WHERE r.state < 3 AND (?1 IS NULL OR r.pipeline = ?1)
