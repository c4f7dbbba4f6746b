SELECT id FROM records WHERE run = $1 AND round = $2 AND seq >= $3 AND seq < $4 ORDER BY seq
