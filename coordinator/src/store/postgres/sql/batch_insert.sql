-- unnest: all batches of a page in one statement.
INSERT INTO batches (run, round, batch, first_seq, size)
SELECT $1, $2, k.batch, k.first_seq, k.size
FROM unnest($3::bigint[], $4::bigint[], $5::bigint[]) AS k (batch, first_seq, size)
