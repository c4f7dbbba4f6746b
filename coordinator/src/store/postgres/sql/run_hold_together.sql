-- FOR SHARE: as many as like know that it is not paused, cancelled or ended before they commit.
SELECT 1 FROM runs WHERE run = $1 FOR SHARE
