-- times alone would be either row's here.
INSERT INTO problems (run, code, detail, times) VALUES ($1, $2, $3, $4)
ON CONFLICT (run, code) DO UPDATE SET times = problems.times + excluded.times
