-- A run to go on from that was deleted meanwhile: nothing is unchanged. Counters stand in a row of their own, see
-- run_changed.
WITH new AS (
  INSERT INTO runs (id, request_id, request_digest, pipeline, parameters, audit_mode, created_at, state,
                    revision, max_batch, post_timeout_ms, settle_after_ms, max_attempts, on_doubt, max_gone, max_rejected,
                    protocol, since_id, since_key, priority, weight, max_workers, wall_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10, $11, $12, $13, $14, $15, $16,
          $17, (SELECT s.run FROM runs s WHERE s.id = $17 AND s.deleted_at IS NULL), $18, $19, $20, $21)
  RETURNING run)
INSERT INTO run_counters (run) SELECT run FROM new RETURNING run
