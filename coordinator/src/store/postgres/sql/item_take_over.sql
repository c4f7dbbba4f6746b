-- unnest: all items in one statement.
INSERT INTO items (run, round, seq, body)
SELECT $1, $2, k.seq, n.body
FROM unnest($3::bigint[], $4::text[]) AS k (seq, id)
CROSS JOIN LATERAL (SELECT i.body FROM records r JOIN items i ON i.run = r.run AND i.round = r.round AND i.seq = r.seq
                    WHERE r.run = $1 AND r.id = k.id AND r.round < $2 ORDER BY r.round DESC LIMIT 1) n
