-- Counters stand in a row of their own, see run_changed.
UPDATE run_counters SET gone = gone + $2 WHERE run = $1 RETURNING gone
