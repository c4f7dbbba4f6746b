-- Counters stand in a row of their own: every batch's transition changes them, and whoever only wants to know that a run
-- goes on must not wait for that. Taken last, so that they are held for as long as a commit takes and no longer.
UPDATE run_counters SET changes = changes + 1 WHERE run = $1
