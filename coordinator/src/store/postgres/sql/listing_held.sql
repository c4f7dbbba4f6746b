-- Pages already on their way when a run is paused are still taken; a cancelled run takes none, and later rounds list nothing.
-- FOR UPDATE: pages of one listing are committed one after another. Its run is held before.
SELECT l.total_pages, l.next_seq, l.next_batch, r.round, r.max_batch, l.pass, l.last_page, l.cursor, l.total, l.unchanged, r.revision,
       (SELECT s.run FROM runs s WHERE s.run = r.since_key AND s.id = r.since_id AND s.deleted_at IS NULL)
FROM listings l JOIN runs r ON r.run = l.run
WHERE l.run = $1 AND l.epoch = $2 AND l.holder IS NOT NULL AND l.closed_at IS NULL AND r.state IN (0, 1) AND r.round = 1
FOR UPDATE OF l
