SELECT acknowledged, number, round, batch FROM deliveries
WHERE run = $1 AND acknowledged > $2 ORDER BY acknowledged LIMIT $3
