-- octet_length: PostgreSQL's length of bytes, which does not read a large body for it.
SELECT l.place, i.body
FROM (SELECT i.seq, i.seq - b.first_seq AS place, octet_length(i.body) AS own,
             sum(octet_length(i.body)) OVER (ORDER BY i.seq) AS upto
      FROM batches b JOIN items i
          ON i.run = b.run AND i.round = b.round AND i.seq >= b.first_seq + $4 AND i.seq < b.first_seq + b.size
      WHERE b.run = $1 AND b.round = $2 AND b.batch = $3) l
JOIN items i ON i.run = $1 AND i.round = $2 AND i.seq = l.seq
WHERE l.upto <= $5 OR l.upto = l.own ORDER BY l.seq
