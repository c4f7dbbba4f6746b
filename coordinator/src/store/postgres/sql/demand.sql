-- A paused run is not over and keeps its leases, but nobody can lease more of it. A truth is a number on the wire.
SELECT (count(*) > 0)::int::bigint, coalesce(sum(
    CASE r.state WHEN 0 THEN (SELECT count(*) FROM batches b WHERE b.run = r.run AND b.state = 0) ELSE 0 END
    + (SELECT count(*) FROM batches b WHERE b.run = r.run AND b.state = 1)), 0)::bigint
FROM runs r WHERE r.state < 3 AND ($1::text IS NULL OR r.pipeline = $1)
