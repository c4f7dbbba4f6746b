-- Counters stand in a row of their own, see run_changed.
UPDATE run_counters SET deliveries = deliveries + 1 WHERE run = $1 RETURNING deliveries
