SELECT id, state, max_batch, post_timeout_ms, settle_after_ms, max_attempts, on_doubt, max_gone FROM runs WHERE run = ?1
