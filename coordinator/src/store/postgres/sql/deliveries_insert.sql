-- delivery_insert, for all transitions of a group.
INSERT INTO deliveries (run, round, batch, epoch, ordinal, number, positions, size, body_sha256, retry_of, tries, begun_at)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[],
                     $8::bigint[], $9::bytea[], $10::bigint[], $11::bigint[], $12::bigint[])
