-- Ready batches of some runs, in order in each, as many as each is to give. unnest: all runs in one statement.
-- SKIP LOCKED: what another coordinator is leasing out at this moment is passed over, and so is a run that is being
-- paused, cancelled or ended. LATERAL with a LIMIT of its own makes the planner walk the index of ready batches run by
-- run, instead of sorting all that are ready, and stop when there are enough.
SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles
FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS k (run, round, after, most)
CROSS JOIN LATERAL (SELECT run FROM runs
      WHERE run = k.run AND round = k.round AND state = 0 FOR SHARE SKIP LOCKED) r
CROSS JOIN LATERAL (SELECT * FROM batches
      WHERE run = r.run AND round = k.round AND batch > k.after AND state = 0 AND available_at <= $1
      ORDER BY batch LIMIT k.most FOR UPDATE SKIP LOCKED) b
