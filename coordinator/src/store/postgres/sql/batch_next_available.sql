-- No INDEXED BY here: PostgreSQL keeps statistics, and plans by them.
-- When the next waiting batch may be leased, and when the next lease runs out.
SELECT (SELECT min(b.available_at) FROM batches b WHERE b.state = 0 AND b.available_at > 0 AND b.available_at > $1),
       (SELECT min(b.expires_at) FROM batches b WHERE b.state = 1)
