-- Whoever grants batches of a run with max_workers holds its round's row: it counts the holders, and nobody else grants
-- meanwhile. Not the run's row, which every transition of the run holds together with others. In one order, so that nobody
-- waits in a circle; NO KEY, because nothing that refers to the round has to wait.
SELECT 1 FROM rounds o JOIN unnest($1::bigint[], $2::bigint[]) AS k (run, round) ON o.run = k.run AND o.round = k.round
ORDER BY o.run FOR NO KEY UPDATE OF o
