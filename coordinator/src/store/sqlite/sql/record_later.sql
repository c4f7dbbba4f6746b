-- Its ID, if a later round has it.
SELECT id FROM records WHERE run = ?1 AND round > ?2 AND id = ?3 LIMIT 1
