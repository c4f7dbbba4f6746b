-- strpos is PostgreSQL's instr.
SELECT e.round, e.batch, e.position, r.id, e.stage, e.reason, e.http_status, CASE WHEN $8 <> 0 THEN e.body ELSE '' END, e.at,
       (SELECT min(l.round) FROM records l WHERE l.run = e.run AND l.id = r.id AND l.round > e.round),
       b.size,
       EXISTS (SELECT 1 FROM deliveries d WHERE d.run = e.run AND d.round = e.round AND d.batch = e.batch AND d.state IN (0, 1, 4, 5)),
       (SELECT l.trace_id FROM leases l WHERE l.run = e.run AND l.round = e.round AND l.batch = e.batch
           AND l.ended_at = e.at AND l.report_digest IS NOT NULL ORDER BY l.epoch DESC LIMIT 1)
FROM exceptions e
JOIN batches b ON b.run = e.run AND b.round = e.round AND b.batch = e.batch
JOIN records r ON r.run = e.run AND r.round = e.round AND r.seq = b.first_seq + e.position
WHERE e.run = $1 AND e.kind = 0 AND (e.round, e.batch, e.position) > ($2, $3, $4)
  AND ($5 = '' OR e.stage = $5) AND ($6 = '' OR strpos(e.reason, $6) > 0)
ORDER BY e.round, e.batch, e.position LIMIT $7
