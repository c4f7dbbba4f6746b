-- Ready batches of running runs, oldest run first. Runs that probe their doubts, and those whose pipeline says what only
-- newer workers understand, are for workers that know how to.
-- SKIP LOCKED: what another coordinator is leasing out at this moment is passed over, and so is a run that is being
-- paused, cancelled or ended. LATERAL with a LIMIT of its own makes the planner walk the index of ready batches run by
-- run, instead of sorting all that are ready, and stop when there are enough.
SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles
FROM (SELECT run, round FROM runs
      WHERE state = 0 AND (on_doubt <> 2 OR $3 >= 2) AND protocol <= greatest($3, 1)
      ORDER BY run FOR SHARE SKIP LOCKED) r
CROSS JOIN LATERAL (SELECT * FROM batches
      WHERE run = r.run AND round = r.round AND state = 0 AND available_at <= $1
      ORDER BY batch LIMIT $2 FOR UPDATE SKIP LOCKED) b
LIMIT $2
