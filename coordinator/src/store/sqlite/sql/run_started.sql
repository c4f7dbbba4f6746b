SELECT wall_at FROM runs WHERE run = ?1
