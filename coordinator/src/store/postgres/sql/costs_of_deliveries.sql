-- When the target acknowledged one is not when somebody found out. Conditions are no numbers that can be summed here, and the
-- sum of bigint is numeric; the cast makes it bigint again.
SELECT round, count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 2),
       count(*) FILTER (WHERE state = 3), count(*) FILTER (WHERE state = 4), count(*) FILTER (WHERE state = 5),
       count(*) FILTER (WHERE retry_of <> 0), sum(size)::bigint, max(tries),
       min(settled_at) FILTER (WHERE state IN (1, 5) AND settled_by = ''),
       max(settled_at) FILTER (WHERE state IN (1, 5) AND settled_by = '')
FROM deliveries WHERE run = $1 GROUP BY round
