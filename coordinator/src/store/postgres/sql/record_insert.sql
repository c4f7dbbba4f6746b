-- unnest: all records of a page in one statement.
INSERT INTO records (run, round, seq, id, page, version)
SELECT $1, $2, k.seq, k.id, k.page, k.version
FROM unnest($3::bigint[], $4::text[], $5::bigint[], $6::text[]) AS k (seq, id, page, version)
