INSERT INTO problems (run, code, detail, times) VALUES (?1, ?2, ?3, 1)
ON CONFLICT (run, code) DO UPDATE SET times = times + 1
