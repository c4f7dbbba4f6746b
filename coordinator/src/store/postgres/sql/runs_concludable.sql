-- Counters stand in a row of their own, see run_changed.
-- A round is over when listing is closed (only the first lists) and no batch is unfinished; a cancelled run when no delivery
-- is open. "Nothing left to lease" alone ends nothing. It is asked after every change, so that the first ready batch is looked
-- up in their index: for EXISTS, which drops an ORDER BY, the planner reads all batches that are done until it meets one.
SELECT r.run, r.id, r.pipeline, r.revision, r.parameters, r.audit_mode, r.state, r.state_reason, r.round,
       r.created_at, r.finished_at, c.acknowledged, c.changes, v.verdict, o.opened_at, r.since_id,
       r.priority, r.weight, r.max_workers
FROM runs r JOIN rounds o ON o.run = r.run AND o.round = r.round
JOIN run_counters c ON c.run = r.run
LEFT JOIN verdicts v ON v.run = r.run AND v.round = r.round
WHERE r.state < 3 AND ((r.state = 0
       AND (r.round > 1 OR EXISTS (SELECT 1 FROM listings l WHERE l.run = r.run AND l.closed_at IS NOT NULL))
       AND (SELECT b.batch FROM batches b
            WHERE b.run = r.run AND b.round = r.round AND b.state = 0 ORDER BY b.batch LIMIT 1) IS NULL
       AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.run = r.run AND b.round = r.round AND b.state = 1))
   OR (r.state = 2
       AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.run = r.run AND d.state = 0)))
