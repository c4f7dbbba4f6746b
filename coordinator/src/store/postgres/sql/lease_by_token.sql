-- The batches are held before this is read: a row that is waited for and read in one statement would be joined with what
-- the others were before. unnest: all leases of a renewal in one statement.
SELECT b.run, b.round, b.batch, b.first_seq, b.size, b.epoch, b.attempt, b.lost, b.singles, l.secret, l.session, l.report_digest, l.report_answer, b.state = 1 AND b.epoch = l.epoch,
       coalesce(l.ending = 1, false), l.epoch
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS k (run, round, batch, epoch)
JOIN leases l ON l.run = k.run AND l.round = k.round AND l.batch = k.batch AND l.epoch = k.epoch
JOIN batches b ON b.run = l.run AND b.round = l.round AND b.batch = l.batch
