-- NO KEY: rows that refer to the run may still come; their transitions hold it themselves.
SELECT 1 FROM runs WHERE run = $1 FOR NO KEY UPDATE
