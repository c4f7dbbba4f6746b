SELECT page, version FROM unchanged WHERE run = $1 AND id = $2
