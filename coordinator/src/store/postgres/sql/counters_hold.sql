-- Held until the commit, so that numbers are seen in their order and without a gap.
SELECT deliveries, acknowledged FROM run_counters WHERE run = $1 FOR UPDATE
