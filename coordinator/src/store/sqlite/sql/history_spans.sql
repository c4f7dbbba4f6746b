-- How long it took says nothing where an operator or a probe found out later. What is acknowledged before or after the time
-- in which the round worked is at its start or its end. Of a delivery that is applied in part, history_partly has the records.
SELECT (?5 + min(max(settled_at - ?3, 0), ?4)) / ?6, sum(iif(state = 1, size, 0)), count(*), sum(settled_by = ''),
       sum(iif(settled_by = '', settled_at - begun_at, 0)), max(iif(settled_by = '', settled_at - begun_at, 0)),
       sum(state = 5)
FROM deliveries WHERE run = ?1 AND round = ?2 AND state IN (1, 5)
GROUP BY 1 ORDER BY 1
