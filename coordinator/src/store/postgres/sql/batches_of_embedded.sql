-- An embedded worker died with the process that this one follows.
SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles, b.session, s.name
FROM batches b JOIN sessions s ON s.session = b.session
WHERE b.state = 1 AND s.embedded = 1
