-- The oldest running run whose listing is open and held by nobody. Later rounds list nothing.
UPDATE listings SET holder = ?1, epoch = epoch + 1, expires_at = ?3
WHERE run = (SELECT l.run FROM runs r INDEXED BY runs_not_over CROSS JOIN listings l ON l.run = r.run
             WHERE r.state < 3 AND r.state = 0 AND r.round = 1 AND l.closed_at IS NULL
               AND (l.holder IS NULL OR l.expires_at <= ?2)
             ORDER BY r.run LIMIT 1)
RETURNING run, epoch, total_pages, pass, last_page, cursor
