SELECT state, count(*), count(DISTINCT session), sum(loaded), sum(dead_letter), sum(gone), sum(in_doubt)
FROM batches WHERE run = ?1 AND round = ?2 GROUP BY state
