-- Sessions that hold leases of runs, besides this one. unnest: all runs in one statement.
SELECT k.run, count(DISTINCT b.session)
FROM unnest($2::bigint[]) AS k (run) LEFT JOIN batches b ON b.state = 1 AND b.run = k.run AND b.session <> $1
GROUP BY k.run
