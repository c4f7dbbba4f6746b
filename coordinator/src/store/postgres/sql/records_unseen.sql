-- A subquery must have a name here.
SELECT count(*), min(id) FROM (
  SELECT r.id FROM records r
  WHERE r.run = $1 AND r.round = $2 AND NOT EXISTS (SELECT 1 FROM seen s WHERE s.run = r.run AND s.seq = r.seq)
  UNION ALL SELECT u.id FROM unchanged u WHERE u.run = $1 AND u.seen = 0) AS missing
