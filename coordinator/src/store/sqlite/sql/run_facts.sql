SELECT id, state, post_timeout_ms, settle_after_ms, max_attempts, on_doubt, max_gone, round, max_rejected,
       rejected_batches, rejected_records, gone_accepted, resumed_at, max_workers
FROM runs WHERE run = ?1
