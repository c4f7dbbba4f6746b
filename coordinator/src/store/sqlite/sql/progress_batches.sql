SELECT coalesce(sum(state = 0), 0), coalesce(sum(state = 1), 0), coalesce(sum(state = 2), 0), coalesce(sum(loaded), 0),
       coalesce(sum(dead_letter), 0), coalesce(sum(gone), 0), coalesce(sum(in_doubt), 0),
       (SELECT count(DISTINCT b.session) FROM batches b INDEXED BY batches_leased WHERE b.state = 1 AND b.run = ?1)
FROM batches WHERE run = ?1 AND round = ?2
