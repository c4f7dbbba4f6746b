SELECT r.run, r.id, r.pipeline, r.revision, r.parameters, r.audit_mode, r.state, r.state_reason, r.round,
       r.created_at, r.finished_at, r.acknowledged, r.changes, v.verdict, o.opened_at, r.since_id,
       r.priority, r.weight, r.max_workers
FROM runs r JOIN rounds o ON o.run = r.run AND o.round = r.round
LEFT JOIN verdicts v ON v.run = r.run AND v.round = r.round
WHERE r.state >= 3 AND r.deleted_at IS NULL AND r.pipeline = ?1 AND r.run < ?2
ORDER BY r.run DESC LIMIT ?3
