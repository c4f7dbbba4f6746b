-- Ready batches of running runs, oldest run first. CROSS JOIN keeps this order of the loops; without INDEXED BY the
-- planner walks over all batches that are done. Runs that probe their doubts, and those whose
-- pipeline says what only newer workers understand, are for workers that know how to.
SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles
FROM runs r INDEXED BY runs_not_over CROSS JOIN batches b INDEXED BY batches_ready ON b.run = r.run AND b.round = r.round
WHERE r.state < 3 AND r.state = 0 AND (r.on_doubt <> 2 OR ?3 >= 2) AND r.protocol <= max(?3, 1) AND b.state = 0 AND b.available_at <= ?1
ORDER BY r.run, b.batch LIMIT ?2
