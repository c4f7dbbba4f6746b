-- Of the version that it was listed in: nobody lists it again. unnest: all records in one statement.
INSERT INTO records (run, round, seq, id, page, version)
SELECT $1, $2, k.seq, k.id, k.page,
       (SELECT r.version FROM records r WHERE r.run = $1 AND r.id = k.id AND r.round < $2 ORDER BY r.round DESC LIMIT 1)
FROM unnest($3::bigint[], $4::text[], $5::bigint[]) AS k (seq, id, page)
