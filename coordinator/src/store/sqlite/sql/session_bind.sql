UPDATE sessions SET identity = ?2 WHERE session = ?1 AND identity = ''
