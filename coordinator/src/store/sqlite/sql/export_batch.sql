-- The batch that has this record, or the next one.
SELECT batch, first_seq, size, state FROM batches
WHERE run = ?1 AND round = ?2 AND first_seq + size > ?3 ORDER BY batch LIMIT 1
