SELECT ?1, group_concat(id, char(10) ORDER BY seq) FROM records WHERE run = ?2 AND round = ?3 AND seq >= ?4 AND seq < ?5
