-- A round is over when listing is closed (only the first lists) and no batch is unfinished; a cancelled run when no delivery
-- is open. "Nothing left to lease" alone ends nothing. Without INDEXED BY the planner walks over all batches that are done.
SELECT r.run, r.id, r.pipeline, r.revision, r.parameters, r.audit_mode, r.state, r.state_reason, r.round,
       r.created_at, r.finished_at, r.acknowledged, r.changes, v.verdict, o.opened_at, r.since_id,
       r.priority, r.weight, r.max_workers
FROM runs r INDEXED BY runs_not_over JOIN rounds o ON o.run = r.run AND o.round = r.round
LEFT JOIN verdicts v ON v.run = r.run AND v.round = r.round
WHERE r.state < 3 AND ((r.state = 0
       AND (r.round > 1 OR EXISTS (SELECT 1 FROM listings l WHERE l.run = r.run AND l.closed_at IS NOT NULL))
       AND NOT EXISTS (SELECT 1 FROM batches b INDEXED BY batches_ready WHERE b.run = r.run AND b.round = r.round AND b.state = 0)
       AND NOT EXISTS (SELECT 1 FROM batches b INDEXED BY batches_leased WHERE b.run = r.run AND b.round = r.round AND b.state = 1))
   OR (r.state = 2
       AND NOT EXISTS (SELECT 1 FROM deliveries d INDEXED BY deliveries_open WHERE d.run = r.run AND d.state = 0)))
