-- How long it took says nothing where an operator or a probe found out later. Sums of bigint are numeric; the casts make them
-- bigint again.
SELECT least((settled_at - $2) / $3, $4), sum(size)::bigint, count(*), count(*) FILTER (WHERE settled_by = ''),
       coalesce(sum(settled_at - begun_at) FILTER (WHERE settled_by = ''), 0)::bigint,
       coalesce(max(settled_at - begun_at) FILTER (WHERE settled_by = ''), 0)
FROM deliveries WHERE run = $1 AND state = 1 AND settled_at >= $2
GROUP BY 1 ORDER BY 1
