-- No INDEXED BY here: PostgreSQL keeps statistics, and plans by them.
SELECT b.run, count(*) FROM batches b WHERE b.state = 1 GROUP BY b.run
