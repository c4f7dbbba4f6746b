SELECT EXISTS (SELECT 1 FROM records WHERE run = ?1 AND id = ?2 AND round > ?3)
