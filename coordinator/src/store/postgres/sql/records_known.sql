-- unnest: all IDs of a page in one statement. LATERAL with a LIMIT makes the planner look each up, instead of reading all that
-- is listed once a page; and + 0 makes it do so by the ID, where the primary key looks as good while the table is small.
SELECT r.id, r.seq, r.page FROM unnest($3::text[]) AS k (id)
CROSS JOIN LATERAL (SELECT id, seq, page FROM records WHERE run = $1 AND id = k.id AND round + 0 = $2 LIMIT 1) r
