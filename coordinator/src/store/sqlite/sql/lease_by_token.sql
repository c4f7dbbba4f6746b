SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles, l.secret, l.session, l.report_digest, l.report_answer, b.state = 1 AND b.epoch = l.epoch,
       coalesce(l.ending = 1, 0), l.epoch
FROM leases l JOIN batches b ON b.run = l.run AND b.round = l.round AND b.batch = l.batch
WHERE l.run = ?1 AND l.round = ?2 AND l.batch = ?3 AND l.epoch = ?4
