SELECT number, epoch, ordinal, positions, size, state, tries, begun_at, body_sha256, retry_of,
       present, absent, probes, withdrawn, contradicted,
       http_status, detail, settled_at, acknowledged, settled_by, note,
       (SELECT l.trace_id FROM leases l WHERE l.run = d.run AND l.round = d.round AND l.batch = d.batch AND l.epoch = d.epoch)
FROM deliveries d WHERE run = ?1 AND round = ?2 AND batch = ?3 ORDER BY number
