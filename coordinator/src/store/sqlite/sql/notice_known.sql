SELECT count(*) FROM notices WHERE id = ?1 AND destination = ?2
