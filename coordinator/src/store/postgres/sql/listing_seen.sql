-- One look for each of them: a join would walk over all that an open one has seen. The newest first: of others none is left.
-- SKIP LOCKED: another coordinator sweeps it at this moment.
SELECT l.run FROM listings l
WHERE l.pass > 1 AND l.closed_at IS NOT NULL
  AND (SELECT s.seq FROM seen s WHERE s.run = l.run ORDER BY s.seq LIMIT 1) IS NOT NULL
ORDER BY l.run DESC LIMIT 1 FOR UPDATE OF l SKIP LOCKED
