-- SKIP LOCKED: what another call of this session is about is no lost answer. Its run is held together with others. unnest: the
-- sessions of several calls in one statement. LATERAL makes the planner look each up by its index.
SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles, b.expires_at, l.secret, b.session
FROM unnest($1::text[]) AS k (session)
CROSS JOIN LATERAL (SELECT * FROM batches WHERE state = 1 AND session = k.session FOR UPDATE SKIP LOCKED) b
CROSS JOIN LATERAL (SELECT run FROM runs WHERE run = b.run FOR SHARE SKIP LOCKED) r
CROSS JOIN LATERAL (SELECT secret FROM leases
      WHERE run = b.run AND round = b.round AND batch = b.batch AND epoch = b.epoch LIMIT 1) l
