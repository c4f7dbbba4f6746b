SELECT id, state, post_timeout_ms, settle_after_ms, max_attempts, on_doubt, max_gone FROM runs WHERE run = ?1
