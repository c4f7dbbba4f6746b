-- SKIP LOCKED: whoever holds such a batch now, its holder or another reaper, knows better than to wait for. Its run is
-- held together with others, so that nobody pauses or ends it meanwhile; both at once, because neither is waited for.
SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles, b.session,
       coalesce((SELECT s.name FROM sessions s WHERE s.session = b.session), '')
FROM batches b JOIN runs r ON r.run = b.run WHERE b.state = 1 AND b.expires_at <= $1
ORDER BY b.expires_at LIMIT $2
FOR UPDATE OF b SKIP LOCKED FOR SHARE OF r SKIP LOCKED
