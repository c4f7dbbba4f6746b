-- tries is the fence: a later claim has counted on.
UPDATE notices SET state = ?3, claimed = 0, due_at = ?4, error = ?5, settled_at = ?6
WHERE notice = ?1 AND tries = ?2 AND state = 0
