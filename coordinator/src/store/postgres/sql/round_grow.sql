UPDATE rounds SET records = $3, batches = $4, took_dead_letter = took_dead_letter + $5, took_gone = took_gone + $6,
                  took_cancelled = took_cancelled + $7, took_in_doubt = took_in_doubt + $8
WHERE run = $1 AND round = $2
