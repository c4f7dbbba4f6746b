DELETE FROM exceptions INDEXED BY exceptions_provisional WHERE run = ?1 AND provisional = 1
