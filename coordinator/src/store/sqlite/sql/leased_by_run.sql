-- The index has the run as well, since the table has no row IDs.
SELECT b.run, count(*) FROM batches b INDEXED BY batches_leased WHERE b.state = 1 GROUP BY b.run
