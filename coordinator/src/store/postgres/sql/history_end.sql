-- Where somebody found out about a delivery later, the round did not work until then; unless there is nothing else.
SELECT coalesce(max(CASE WHEN settled_by = '' THEN settled_at END), max(settled_at))
FROM deliveries WHERE run = $1 AND round = $2 AND state IN (1, 5)
