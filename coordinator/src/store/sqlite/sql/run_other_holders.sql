-- Sessions that hold leases of a run, besides this one.
SELECT ?2, count(DISTINCT b.session) FROM batches b INDEXED BY batches_leased WHERE b.state = 1 AND b.run = ?2 AND b.session <> ?1
