SELECT code, detail, times FROM problems WHERE run = $1 ORDER BY code
