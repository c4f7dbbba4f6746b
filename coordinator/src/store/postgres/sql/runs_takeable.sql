-- Running runs with a ready batch for such a worker, oldest first: one look into the index of ready batches for each run that
-- is not over, however many batches are ready. Runs that probe their doubts, and those whose pipeline says what only newer
-- workers understand, are for workers that know how to. Nothing is held here: batches_takeable looks again. LATERAL with a
-- LIMIT, where EXISTS would let the planner join all that is ready.
SELECT r.run, r.round, r.priority, r.weight, r.max_workers, r.id
FROM runs r
CROSS JOIN LATERAL (SELECT 1 FROM batches
      WHERE run = r.run AND round = r.round AND state = 0 AND available_at <= $1 ORDER BY batch LIMIT 1) b
WHERE r.state = 0 AND (r.on_doubt <> 2 OR $2 >= 2) AND r.protocol <= greatest($2, 1)
ORDER BY r.run
