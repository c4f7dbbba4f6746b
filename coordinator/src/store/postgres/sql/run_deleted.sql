-- SKIP LOCKED: another coordinator sweeps it at this moment.
SELECT run FROM runs WHERE deleted_at IS NOT NULL ORDER BY run LIMIT 1 FOR UPDATE SKIP LOCKED
