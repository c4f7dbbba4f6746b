-- Counters stand in a row of their own, see run_changed.
UPDATE run_counters SET rejected_batches = $2, rejected_records = $3 WHERE run = $1
