-- As on SQLite; an array of a place has an order, so that its least is the first of a group. strpos is instr.
SELECT g.stage, g.http_status, g.reason, g.letters, r.id,
       (SELECT l.trace_id FROM leases l WHERE l.run = $1 AND l.round = g.place[1] AND l.batch = g.place[2]
           AND l.ended_at = e.at AND l.report_digest IS NOT NULL ORDER BY l.epoch DESC LIMIT 1)
FROM (SELECT e.stage, e.http_status, e.reason, count(*) AS letters, min(ARRAY[e.round, e.batch, e.position]) AS place
      FROM (SELECT round, batch, count(*) AS letters FROM exceptions WHERE run = $1 AND kind = 0 GROUP BY round, batch) w
      JOIN batches b ON b.run = $1 AND b.round = w.round AND b.batch = w.batch AND b.dead_letter = w.letters
      JOIN exceptions e ON e.run = $1 AND e.round = w.round AND e.batch = w.batch AND e.kind = 0
      WHERE ($2 = '' OR e.stage = $2) AND ($3 = '' OR strpos(e.reason, $3) > 0)
        AND ($4 <> 0 OR e.round = (SELECT max(o.round) FROM rounds o WHERE o.run = $1)
             OR NOT EXISTS (SELECT 1 FROM records k JOIN records l ON l.run = $1 AND l.id = k.id AND l.round > e.round
                            WHERE k.run = $1 AND k.round = e.round AND k.seq = b.first_seq + e.position))
      GROUP BY e.stage, e.http_status, e.reason ORDER BY letters DESC, e.reason LIMIT $5) g
JOIN exceptions e ON e.run = $1 AND e.round = g.place[1] AND e.batch = g.place[2] AND e.position = g.place[3]
JOIN batches b ON b.run = $1 AND b.round = e.round AND b.batch = e.batch
JOIN records r ON r.run = $1 AND r.round = e.round AND r.seq = b.first_seq + e.position
ORDER BY g.letters DESC, g.reason
