-- Held until the transaction ends: who asks next goes on where this one stopped.
SELECT full_at, closed_until FROM hosts WHERE host = $1 FOR UPDATE
