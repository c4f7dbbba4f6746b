-- At start: only one process has the file, so nobody is sending.
UPDATE notices SET claimed = 0, due_at = 0 WHERE state = 0 AND claimed = 1
