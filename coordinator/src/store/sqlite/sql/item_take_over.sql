INSERT INTO items (run, round, seq, body)
SELECT ?1, ?2, ?3, i.body
FROM records r JOIN items i ON i.run = r.run AND i.round = r.round AND i.seq = r.seq
WHERE r.run = ?1 AND r.id = ?4 AND r.round < ?2 ORDER BY r.round DESC LIMIT 1
