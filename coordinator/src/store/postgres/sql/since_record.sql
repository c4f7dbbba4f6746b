-- Where the newest round that has the record has it; last: whether it is of this version, and the round worked under this
-- revision or one that loads alike. unnest: all IDs of a page in one statement. + 0: see records_known.
SELECT k.id, k.version, n.round, n.seq,
       n.version IS NOT DISTINCT FROM k.version
       AND (n.revision = $2 OR n.revision IN (SELECT a.revision FROM loads_alike a WHERE a.run = $3))
FROM unnest($4::text[], $5::text[]) AS k (id, version)
CROSS JOIN LATERAL (SELECT r.round, r.seq, r.version, o.revision
                    FROM records r JOIN rounds o ON o.run = r.run AND o.round = r.round
                    WHERE r.run = $1 AND r.id = k.id ORDER BY r.round + 0 DESC LIMIT 1) n
