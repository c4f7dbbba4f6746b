-- From place ?4 on, as many as ?5 bytes take, but one at least. The lengths are added up without the bodies: of those only
-- what is taken is read.
SELECT l.place, i.body
FROM (SELECT i.seq, i.seq - b.first_seq AS place, length(i.body) AS own, sum(length(i.body)) OVER (ORDER BY i.seq) AS upto
      FROM batches b CROSS JOIN items i
          ON i.run = b.run AND i.round = b.round AND i.seq >= b.first_seq + ?4 AND i.seq < b.first_seq + b.size
      WHERE b.run = ?1 AND b.round = ?2 AND b.batch = ?3) l
JOIN items i ON i.run = ?1 AND i.round = ?2 AND i.seq = l.seq
WHERE l.upto <= ?5 OR l.upto = l.own ORDER BY l.seq
