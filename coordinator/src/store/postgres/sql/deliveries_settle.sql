-- delivery_settle, for all transitions of a group; their batches are held.
UPDATE deliveries d SET state = k.state, http_status = k.http_status, detail = k.detail, settled_at = k.settled_at,
                        acknowledged = k.acknowledged, present = k.present, absent = k.absent,
                        doubted_at = CASE WHEN k.state = 4 THEN k.settled_at ELSE d.doubted_at END
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[],
            $9::bigint[], $10::bigint[], $11::bytea[], $12::bytea[])
     AS k (run, round, batch, epoch, ordinal, state, http_status, detail, settled_at, acknowledged, present, absent)
WHERE d.run = k.run AND d.round = k.round AND d.batch = k.batch AND d.epoch = k.epoch AND d.ordinal = k.ordinal
