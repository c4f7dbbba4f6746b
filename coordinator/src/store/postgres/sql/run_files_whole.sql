-- Counters stand in a row of their own, see run_changed.
UPDATE run_counters SET files_whole = 1 WHERE run = $1 AND acknowledged = $2
