-- An embedded worker died with the process that this one follows.
SELECT b.run, b.round, b.batch, b.epoch, b.attempt, b.size, b.session, s.name
FROM batches b JOIN sessions s ON s.session = b.session
WHERE b.state = 1 AND s.embedded = 1
