-- run + 0: as the index has it, see migrations/0006_lookups.sql.
-- Batches of a round follow one another without a gap: the record's is the last that begins at or before it.
SELECT batch, first_seq, size, state FROM batches
WHERE run + 0 = $1 AND round = $2 AND first_seq <= $3 ORDER BY first_seq DESC LIMIT 1
