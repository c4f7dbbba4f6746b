-- As run_hold_together, for the runs of a group of transitions. In one order, so that nobody waits in a circle.
SELECT 1 FROM runs r JOIN unnest($1::bigint[]) AS k (run) ON r.run = k.run ORDER BY r.run FOR SHARE OF r
