-- Where the newest round that has the record has it; last: whether it is of this version, and the round worked under this
-- revision.
SELECT r.id, ?4, r.round, r.seq, r.version IS ?4 AND o.revision = ?2
FROM records r INDEXED BY records_by_id JOIN rounds o ON o.run = r.run AND o.round = r.round
WHERE r.run = ?1 AND r.id = ?3 ORDER BY r.round DESC LIMIT 1
