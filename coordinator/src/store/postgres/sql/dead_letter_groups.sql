-- As on SQLite; an array of a place has an order, so that its least is the first of a group. strpos is instr. Tables that are being
-- filled have no statistics: LATERAL, with LIMIT and OFFSET, leaves no other order of the loops.
SELECT g.stage, g.http_status, g.reason, g.letters, r.id,
       (SELECT l.trace_id FROM leases l WHERE l.run = $1 AND l.round = g.place[1] AND l.batch = g.place[2]
           AND l.ended_at = e.at AND l.report_digest IS NOT NULL ORDER BY l.epoch DESC LIMIT 1), g.redriven
FROM (SELECT e.stage, e.http_status, e.reason, count(*) AS letters, min(ARRAY[w.round, w.batch, e.position]) AS place,
             count(*) FILTER (WHERE later.round IS NOT NULL) AS redriven
      FROM (SELECT round, batch, count(*) AS letters FROM exceptions WHERE run = $1 AND kind = 0 GROUP BY round, batch) w
      CROSS JOIN LATERAL (SELECT b.first_seq FROM batches b WHERE b.run = $1 AND b.round = w.round AND b.batch = w.batch
                          AND b.dead_letter = w.letters LIMIT 1) b
      CROSS JOIN LATERAL (SELECT x.position, x.stage, x.http_status, x.reason FROM exceptions x
                          WHERE x.run = $1 AND x.round = w.round AND x.batch = w.batch AND x.kind = 0 OFFSET 0) e
      LEFT JOIN LATERAL (SELECT l.round FROM (SELECT k.id FROM records k WHERE k.run = $1 AND k.round = w.round
                                              AND k.seq = b.first_seq + e.position LIMIT 1) k
                         CROSS JOIN LATERAL (SELECT l.round FROM records l WHERE l.run = $1 AND l.id = k.id
                                             AND l.round > w.round LIMIT 1) l
                         WHERE w.round < (SELECT max(o.round) FROM rounds o WHERE o.run = $1) LIMIT 1) later ON true
      WHERE ($2 = '' OR e.stage = $2) AND ($3 = '' OR strpos(e.reason, $3) > 0) AND ($4 <> 0 OR later.round IS NULL)
      GROUP BY e.stage, e.http_status, e.reason ORDER BY letters DESC, e.reason, e.stage, e.http_status LIMIT $5) g
CROSS JOIN LATERAL (SELECT x.at FROM exceptions x WHERE x.run = $1 AND x.round = g.place[1] AND x.batch = g.place[2]
                    AND x.position = g.place[3] LIMIT 1) e
CROSS JOIN LATERAL (SELECT b.first_seq FROM batches b WHERE b.run = $1 AND b.round = g.place[1] AND b.batch = g.place[2]
                    LIMIT 1) b
CROSS JOIN LATERAL (SELECT r.id FROM records r WHERE r.run = $1 AND r.round = g.place[1]
                    AND r.seq = b.first_seq + g.place[3] LIMIT 1) r
