-- Of the version that it was listed in: nobody lists it again.
INSERT INTO records (run, round, seq, id, page, version)
SELECT ?1, ?2, ?3, ?4, ?5,
       (SELECT r.version FROM records r WHERE r.run = ?1 AND r.id = ?4 AND r.round < ?2 ORDER BY r.round DESC LIMIT 1)
