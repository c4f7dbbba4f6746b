UPDATE listings SET expires_at = $3
WHERE run = $1 AND epoch = $2 AND holder IS NOT NULL AND closed_at IS NULL
  AND EXISTS (SELECT 1 FROM runs WHERE run = $1 AND state = 0 AND round = 1)
