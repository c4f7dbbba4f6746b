SELECT position, kind, batch FROM exceptions WHERE run = ?1 AND round = ?2 AND batch BETWEEN ?3 AND ?4 ORDER BY batch, position
