-- Where the newest round that has the record has it; last: whether it is of this version, and the round worked under this
-- revision or one that loads alike.
SELECT r.id, ?5, r.round, r.seq,
       r.version IS ?5 AND (o.revision = ?2 OR o.revision IN (SELECT a.revision FROM loads_alike a WHERE a.run = ?3))
FROM records r INDEXED BY records_by_id JOIN rounds o ON o.run = r.run AND o.round = r.round
WHERE r.run = ?1 AND r.id = ?4 ORDER BY r.round DESC LIMIT 1
