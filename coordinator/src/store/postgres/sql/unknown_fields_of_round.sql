-- A sum of whole numbers is a numeric here.
SELECT f.path, f.records, u.positions, b.first_seq
FROM (SELECT path, sum(records)::bigint AS records, min(batch) AS batch FROM unknown_fields
      WHERE run = $1 AND round = $2 GROUP BY path) f
JOIN unknown_fields u ON u.run = $1 AND u.round = $2 AND u.path = f.path AND u.batch = f.batch
JOIN batches b ON b.run = $1 AND b.round = $2 AND b.batch = f.batch
ORDER BY f.path = '', f.path
