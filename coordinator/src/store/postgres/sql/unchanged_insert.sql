-- unnest: all of a page in one statement.
INSERT INTO unchanged (run, id, page, version)
SELECT $1, k.id, k.page, k.version FROM unnest($2::text[], $3::bigint[], $4::text[]) AS k (id, page, version)
