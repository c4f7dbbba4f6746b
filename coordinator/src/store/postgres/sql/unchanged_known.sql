-- unnest: all IDs of a page in one statement. LATERAL with a LIMIT: see records_known.
SELECT u.id, u.page, u.version, u.seen FROM unnest($2::text[]) AS k (id)
CROSS JOIN LATERAL (SELECT id, page, version, seen FROM unchanged WHERE run = $1 AND id = k.id LIMIT 1) u
