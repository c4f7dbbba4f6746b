-- Whoever held a listing died with the process that had this file before.
UPDATE listings SET holder = NULL WHERE holder IS NOT NULL AND closed_at IS NULL
