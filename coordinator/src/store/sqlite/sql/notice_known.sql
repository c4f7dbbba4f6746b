SELECT count(*) FROM notices WHERE id = ?1
