UPDATE listings SET closed_at = $2, holder = NULL WHERE run = $1
