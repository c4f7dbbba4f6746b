-- The oldest running run whose listing is open and held by nobody. Later rounds list nothing.
-- SKIP LOCKED: what another coordinator takes up or works on at this moment is passed over.
UPDATE listings SET holder = $1, epoch = epoch + 1, expires_at = $3
WHERE run = (SELECT l.run FROM runs r JOIN listings l ON l.run = r.run
             WHERE r.state = 0 AND r.round = 1 AND l.closed_at IS NULL
               AND (l.holder IS NULL OR l.expires_at <= $2)
             ORDER BY r.run LIMIT 1 FOR UPDATE OF l SKIP LOCKED)
RETURNING run, epoch, total_pages, pass, last_page, cursor
