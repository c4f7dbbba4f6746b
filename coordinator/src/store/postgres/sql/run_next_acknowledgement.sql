-- A late acknowledgement of a run that is over wants one more audit file. Counted in a row that is held until the commit,
-- so that acknowledgements are seen in the order of their numbers and without a gap.
UPDATE run_counters SET acknowledged = acknowledged + 1, files_whole = 0 WHERE run = $1 RETURNING acknowledged
