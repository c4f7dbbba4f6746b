-- Running runs with a ready batch for such a worker, oldest first: one look into the index of ready batches for each run that
-- is not over, however many batches are ready. Without INDEXED BY the planner walks over all batches that are done. Runs that
-- probe their doubts, and those whose pipeline says what only newer workers understand, are for workers that know how to.
SELECT r.run, r.round, r.priority, r.weight, r.max_workers, r.id
FROM runs r INDEXED BY runs_not_over
WHERE r.state < 3 AND r.state = 0 AND (r.on_doubt <> 2 OR ?2 >= 2) AND r.protocol <= max(?2, 1)
      AND EXISTS (SELECT 1 FROM batches b INDEXED BY batches_ready
                  WHERE b.run = r.run AND b.round = r.round AND b.state = 0 AND b.available_at <= ?1)
ORDER BY r.run
