-- How long it took says nothing where an operator or a probe found out later.
SELECT min((settled_at - ?2) / ?3, ?4), sum(size), count(*), sum(settled_by = ''),
       sum(iif(settled_by = '', settled_at - begun_at, 0)), max(iif(settled_by = '', settled_at - begun_at, 0))
FROM deliveries WHERE run = ?1 AND state = 1 AND settled_at >= ?2
GROUP BY 1 ORDER BY 1
