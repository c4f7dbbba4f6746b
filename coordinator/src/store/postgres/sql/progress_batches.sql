-- Conditions are no numbers that can be summed here, and sums of bigint are numeric.
SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 2),
       coalesce(sum(loaded), 0)::bigint, coalesce(sum(dead_letter), 0)::bigint, coalesce(sum(gone), 0)::bigint,
       coalesce(sum(in_doubt), 0)::bigint,
       (SELECT count(DISTINCT b.session) FROM batches b WHERE b.state = 1 AND b.run = $1)
FROM batches WHERE run = $1 AND round = $2
