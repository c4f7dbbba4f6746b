-- unnest: all IDs of a page in one statement.
SELECT r.id, r.seq, r.page FROM unnest($3::text[]) AS k (id) JOIN records r ON r.run = $1 AND r.round = $2 AND r.id = k.id
