-- What run_next_delivery, run_next_acknowledgement and run_changed write, for all transitions of a group; they are held.
UPDATE run_counters c SET deliveries = k.deliveries, acknowledged = k.acknowledged, changes = c.changes + k.changes,
                          files_whole = CASE WHEN k.acknowledges = 1 THEN 0 ELSE c.files_whole END
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
     AS k (run, deliveries, acknowledged, acknowledges, changes)
WHERE c.run = k.run
