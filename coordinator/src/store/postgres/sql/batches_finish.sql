-- batch_finish, for all transitions of a group; their batches are held.
UPDATE batches b SET state = k.state, available_at = k.available_at, attempt = k.attempt, lost = k.lost,
                     singles = k.singles, session = NULL,
                     loaded = k.loaded, dead_letter = k.dead_letter, gone = k.gone, in_doubt = k.in_doubt
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
            $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])
     AS k (run, round, batch, state, available_at, attempt, lost, singles, loaded, dead_letter, gone, in_doubt)
WHERE b.run = k.run AND b.round = k.round AND b.batch = k.batch
