-- unnest: all IDs of a page in one statement.
SELECT u.id, u.page, u.version, u.seen FROM unnest($2::text[]) AS k (id) JOIN unchanged u ON u.run = $1 AND u.id = k.id
