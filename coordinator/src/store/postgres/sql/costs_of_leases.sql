-- Conditions are no numbers that can be summed here, and sums of bigint are numeric; the casts make them bigint again.
SELECT round, count(*), count(*) FILTER (WHERE ending = 2), count(*) FILTER (WHERE ended_at IS NOT NULL AND report_digest IS NULL),
       sum(requests)::bigint, sum(retries)::bigint, sum(hedges)::bigint, sum(bytes)::bigint, sum(waited_ms)::bigint
FROM leases WHERE run = $1 GROUP BY round
