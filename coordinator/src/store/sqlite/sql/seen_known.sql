SELECT seq FROM seen WHERE run = ?1 AND seq = ?2
