UPDATE runs SET changes = changes + 1 WHERE run = ?1
