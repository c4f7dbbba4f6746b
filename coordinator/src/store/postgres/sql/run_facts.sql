-- Counters stand in a row of their own, see run_changed.
SELECT r.id, r.state, r.post_timeout_ms, r.settle_after_ms, r.max_attempts, r.on_doubt, r.max_gone, r.round, r.max_rejected,
       c.rejected_batches, c.rejected_records, r.gone_accepted, r.resumed_at, r.max_workers
FROM runs r JOIN run_counters c ON c.run = r.run WHERE r.run = $1
