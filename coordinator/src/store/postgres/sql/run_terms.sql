-- Doubts of older rounds are settled no sooner than their own pipeline said. greatest: PostgreSQL's max is for rows.
UPDATE runs SET revision = $2, max_batch = $3, post_timeout_ms = $4, settle_after_ms = greatest(settle_after_ms, $5), max_attempts = $6, on_doubt = $7,
                max_gone = $8, max_rejected = $9, protocol = $10
WHERE run = $1
