-- What is present is stored as ranges, which only the program can count.
SELECT batch, epoch, ordinal, settled_at, present
FROM deliveries WHERE run = $1 AND round = $2 AND state = 5 AND (batch, epoch, ordinal) > ($3, $4, $5)
ORDER BY batch, epoch, ordinal LIMIT $6
