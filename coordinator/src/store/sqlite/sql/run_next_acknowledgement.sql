-- A late acknowledgement of a run that is over wants one more audit file.
UPDATE runs SET acknowledged = acknowledged + 1, files_whole = 0 WHERE run = ?1 RETURNING acknowledged
