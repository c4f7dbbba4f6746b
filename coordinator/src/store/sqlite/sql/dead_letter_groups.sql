-- Batches of which a delivery says otherwise of some dead letter are left out: dead_letters_contested has them. CROSS JOIN
-- keeps this order of the loops. With the only min() of a query, SQLite takes bare columns from the row that has it: the
-- first dead letter of a group stands for it. In the latest round nothing is redriven yet.
SELECT g.stage, g.http_status, g.reason, g.letters, r.id,
       (SELECT l.trace_id FROM leases l WHERE l.run = ?1 AND l.round = g.round AND l.batch = g.batch
           AND l.ended_at = g.at AND l.report_digest IS NOT NULL ORDER BY l.epoch DESC LIMIT 1), g.redriven
FROM (SELECT e.stage, e.http_status, e.reason, count(*) AS letters, sum(e.redriven) AS redriven, e.round, e.at, e.batch, e.seq,
             min(printf('%010d %019d %010d', e.round, e.batch, e.position))
      FROM (SELECT e.stage, e.http_status, e.reason, e.round, e.batch, e.position, e.at, b.first_seq + e.position AS seq,
                   e.round < (SELECT max(o.round) FROM rounds o WHERE o.run = ?1)
                   AND EXISTS (SELECT 1 FROM records k CROSS JOIN records l INDEXED BY records_by_id
                               ON l.run = ?1 AND l.id = k.id AND l.round > e.round
                               WHERE k.run = ?1 AND k.round = e.round AND k.seq = b.first_seq + e.position) AS redriven
            FROM (SELECT round, batch, count(*) AS letters FROM exceptions WHERE run = ?1 AND kind = 0 GROUP BY round, batch) w
            CROSS JOIN batches b ON b.run = ?1 AND b.round = w.round AND b.batch = w.batch AND b.dead_letter = w.letters
            CROSS JOIN exceptions e ON e.run = ?1 AND e.round = w.round AND e.batch = w.batch AND e.kind = 0
            WHERE (?2 = '' OR e.stage = ?2) AND (?3 = '' OR instr(e.reason, ?3) > 0)) e
      WHERE ?4 OR NOT e.redriven
      GROUP BY e.stage, e.http_status, e.reason ORDER BY letters DESC, e.reason, e.stage, e.http_status LIMIT ?5) g
CROSS JOIN records r ON r.run = ?1 AND r.round = g.round AND r.seq = g.seq
