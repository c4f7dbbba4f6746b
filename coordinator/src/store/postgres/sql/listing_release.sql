UPDATE listings SET holder = NULL WHERE run = $1 AND epoch = $2 AND holder IS NOT NULL AND closed_at IS NULL
