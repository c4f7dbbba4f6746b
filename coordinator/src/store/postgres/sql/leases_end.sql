-- lease_end, for all transitions of a group; their batches are held.
UPDATE leases l SET ended_at = coalesce(l.ended_at, k.ended_at), ending = coalesce(l.ending, k.ending)
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
     AS k (run, round, batch, epoch, ended_at, ending)
WHERE l.run = k.run AND l.round = k.round AND l.batch = k.batch AND l.epoch = k.epoch
