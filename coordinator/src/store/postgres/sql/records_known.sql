-- unnest: all IDs of a page in one statement. LATERAL with a LIMIT makes the planner look each up in the index, instead of
-- reading all that is listed once a page.
SELECT r.id, r.seq, r.page FROM unnest($3::text[]) AS k (id)
CROSS JOIN LATERAL (SELECT id, seq, page FROM records WHERE run = $1 AND round = $2 AND id = k.id LIMIT 1) r
