-- Only if nothing changed since the audit read the ledger.
UPDATE runs SET state = CASE state WHEN 2 THEN 3 ELSE 4 END, finished_at = ?3
WHERE run = ?1 AND changes = ?2 AND state IN (0, 2)
