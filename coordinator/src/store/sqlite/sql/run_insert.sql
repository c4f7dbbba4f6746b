INSERT INTO runs (id, request_id, request_digest, pipeline, revision, parameters, audit_mode, max_batch, post_timeout_ms,
                  settle_after_ms, max_attempts, on_doubt, max_gone, state, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 0, ?14)
