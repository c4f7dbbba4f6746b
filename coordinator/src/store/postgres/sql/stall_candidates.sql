-- Runs that go on, and those that paused by themselves; since when it cannot have been otherwise.
-- Counters stand in a row of their own, see run_changed.
SELECT r.run, r.id, r.pipeline, r.revision, r.parameters, r.audit_mode, r.state, r.state_reason, r.round,
       r.created_at, r.finished_at, c.acknowledged, c.changes, v.verdict, o.opened_at, r.since_id,
       r.priority, r.weight, r.max_workers, greatest(o.opened_at, r.resumed_at)
FROM runs r JOIN rounds o ON o.run = r.run AND o.round = r.round
JOIN run_counters c ON c.run = r.run
LEFT JOIN verdicts v ON v.run = r.run AND v.round = r.round
WHERE r.state < 3 AND r.deleted_at IS NULL AND (r.state = 0 OR (r.state = 1 AND r.paused_itself = 1))
