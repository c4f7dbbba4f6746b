DELETE FROM cursors WHERE (run, pass, sha256) IN (SELECT run, pass, sha256 FROM cursors WHERE run = $1 LIMIT $2)
