UPDATE unchanged SET seen = 1 WHERE run = ?1 AND id = ?2
