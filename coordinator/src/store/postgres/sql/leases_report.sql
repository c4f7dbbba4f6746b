-- lease_report, for all transitions of a group; their batches are held.
UPDATE leases l SET report_digest = k.digest, report_answer = k.answer, requests = k.requests, retries = k.retries,
                    hedges = k.hedges, bytes = k.bytes, trace_id = k.trace_id,
                    waited_ms = k.waited_ms
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bigint[], $8::bigint[],
            $9::bigint[], $10::bigint[], $11::bytea[], $12::bigint[])
     AS k (run, round, batch, epoch, digest, answer, requests, retries, hedges, bytes, trace_id, waited_ms)
WHERE l.run = k.run AND l.round = k.round AND l.batch = k.batch AND l.epoch = k.epoch
