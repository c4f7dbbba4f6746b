SELECT count(*) FROM exceptions INDEXED BY exceptions_gone WHERE run = ?1 AND kind = 1
