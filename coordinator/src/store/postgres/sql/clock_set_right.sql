-- 0 rows: another coordinator was quicker.
UPDATE serving SET ahead = $1 WHERE one = 1 AND ahead = $2
