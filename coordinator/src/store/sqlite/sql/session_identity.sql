SELECT identity FROM sessions WHERE session = ?1
