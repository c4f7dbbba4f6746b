SELECT position, kind, batch FROM exceptions WHERE run = ?1 AND round = ?2 ORDER BY batch, position
