SELECT round, count(*), sum(ending IS 2), sum(ended_at IS NOT NULL AND report_digest IS NULL),
       sum(requests), sum(retries), sum(hedges), sum(bytes), sum(waited_ms)
FROM leases WHERE run = ?1 GROUP BY round
