-- Whoever comes second waits for the first, and then changes nothing.
UPDATE sessions SET identity = $2 WHERE session = $1 AND identity = ''
