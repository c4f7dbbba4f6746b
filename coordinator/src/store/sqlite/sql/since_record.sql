-- Where the newest round that has the record has it: only if it is of this version, and the round worked under this revision.
SELECT r.round, r.seq, r.version IS ?3 AND o.revision = ?4
FROM records r INDEXED BY records_by_id JOIN rounds o ON o.run = r.run AND o.round = r.round
WHERE r.run = ?1 AND r.id = ?2 ORDER BY r.round DESC LIMIT 1
