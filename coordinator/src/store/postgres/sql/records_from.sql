SELECT seq, id, page FROM records WHERE run = $1 AND round = $2 AND seq >= $3 ORDER BY seq LIMIT $4
