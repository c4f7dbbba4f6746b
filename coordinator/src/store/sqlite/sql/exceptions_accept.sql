UPDATE exceptions INDEXED BY exceptions_provisional SET provisional = 0 WHERE run = ?1 AND provisional = 1
