-- 0 rows: another coordinator was quicker. What is read before is compared, so that a gap is noticed once.
UPDATE serving SET since = $1, seen_at = $2 WHERE one = 1 AND seen_at IS NOT DISTINCT FROM $3
