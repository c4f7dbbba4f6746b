DELETE FROM hosts WHERE full_at < $1 AND closed_until < $1
