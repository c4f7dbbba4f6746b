INSERT INTO listings (run) VALUES ($1)
