SELECT id, page, version, seen FROM unchanged WHERE run = ?1 AND id = ?2
