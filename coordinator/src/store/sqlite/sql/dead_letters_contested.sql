-- Batches with an exception that is no dead letter any more: a delivery says otherwise.
SELECT w.round, w.batch, w.letters
FROM (SELECT round, batch, count(*) AS letters FROM exceptions WHERE run = ?1 AND kind = 0 GROUP BY round, batch) w
CROSS JOIN batches b ON b.run = ?1 AND b.round = w.round AND b.batch = w.batch AND b.dead_letter <> w.letters
ORDER BY w.round, w.batch
