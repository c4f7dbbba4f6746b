-- When the target acknowledged one is not when somebody found out.
SELECT round, sum(state = 0), sum(state = 1), sum(state = 2), sum(state = 3), sum(state = 4), sum(state = 5),
       sum(retry_of <> 0), sum(size), max(tries),
       min(iif(state IN (1, 5) AND settled_by = '', settled_at, NULL)),
       max(iif(state IN (1, 5) AND settled_by = '', settled_at, NULL))
FROM deliveries WHERE run = ?1 GROUP BY round
