-- Only if nothing changed since the audit read the ledger, and only what is at its end (see runs_concludable): the
-- ledger may have changed between that query and the audit's reading. The run is held alone, so nothing changes now.
UPDATE runs SET state = CASE state WHEN 2 THEN 3 ELSE 4 END, finished_at = $3
WHERE run = $1 AND (SELECT c.changes FROM run_counters c WHERE c.run = $1) = $2
  AND ((state = 0
        AND (round > 1 OR EXISTS (SELECT 1 FROM listings l WHERE l.run = $1 AND l.closed_at IS NOT NULL))
        AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.run = $1 AND b.round = runs.round AND b.state = 0)
        AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.run = $1 AND b.round = runs.round AND b.state = 1))
    OR (state = 2
        AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.run = $1 AND d.state = 0)))
