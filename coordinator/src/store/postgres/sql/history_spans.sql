-- How long it took says nothing where an operator or a probe found out later. What is acknowledged before or after the time
-- in which the round worked is at its start or its end. Of a delivery that is applied in part, history_partly has the records.
-- Sums of bigint are numeric; the casts make them bigint again.
SELECT ($5 + least(greatest(settled_at - $3, 0), $4)) / $6, coalesce(sum(size) FILTER (WHERE state = 1), 0)::bigint,
       count(*), count(*) FILTER (WHERE settled_by = ''),
       coalesce(sum(settled_at - begun_at) FILTER (WHERE settled_by = ''), 0)::bigint,
       coalesce(max(settled_at - begun_at) FILTER (WHERE settled_by = ''), 0),
       count(*) FILTER (WHERE state = 5)
FROM deliveries WHERE run = $1 AND round = $2 AND state IN (1, 5)
GROUP BY 1 ORDER BY 1
