-- From place ?4 on; the caller stops when it has enough.
SELECT i.seq - b.first_seq, i.body
FROM batches b CROSS JOIN items i ON i.run = b.run AND i.round = b.round AND i.seq >= b.first_seq + ?4 AND i.seq < b.first_seq + b.size
WHERE b.run = ?1 AND b.round = ?2 AND b.batch = ?3 ORDER BY i.seq
