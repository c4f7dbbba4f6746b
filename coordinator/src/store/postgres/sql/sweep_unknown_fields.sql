DELETE FROM unknown_fields WHERE (run, round, path, batch) IN
    (SELECT run, round, path, batch FROM unknown_fields WHERE run = $1 LIMIT $2)
