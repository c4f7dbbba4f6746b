SELECT ?1, seq, id FROM records WHERE run = ?2 AND round = ?3 AND seq >= ?4 AND seq < ?5
