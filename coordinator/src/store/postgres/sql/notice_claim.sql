-- Whoever counted this try settles it; when nobody has by the new due_at, it is tried again.
-- SKIP LOCKED: what another coordinator claims at this moment is passed over.
UPDATE notices SET tries = tries + 1, claimed = 1, due_at = $3
WHERE notice = (SELECT n.notice FROM notices n
                WHERE n.destination = $1 AND n.state = 0 AND n.due_at <= $2 ORDER BY n.due_at, n.notice LIMIT 1
                FOR UPDATE SKIP LOCKED)
RETURNING notice, id, (SELECT r.id FROM runs r WHERE r.run = notices.run), round, event, reason, at, tries
