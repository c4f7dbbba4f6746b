-- unnest: all items of a page in one statement.
INSERT INTO items (run, round, seq, body)
SELECT $1, $2, k.seq, k.body FROM unnest($3::bigint[], $4::bytea[]) AS k (seq, body)
