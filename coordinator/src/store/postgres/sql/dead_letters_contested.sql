-- As on SQLite, with the order of the loops that CROSS JOIN has there.
SELECT w.round, w.batch, w.letters
FROM (SELECT round, batch, count(*) AS letters FROM exceptions WHERE run = $1 AND kind = 0 GROUP BY round, batch) w
CROSS JOIN LATERAL (SELECT 1 FROM batches b WHERE b.run = $1 AND b.round = w.round AND b.batch = w.batch
                    AND b.dead_letter <> w.letters LIMIT 1) b
ORDER BY w.round, w.batch
