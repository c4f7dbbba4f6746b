SELECT number, epoch, ordinal, positions, size, state, tries, begun_at, body_sha256, retry_of,
       present, absent, probes, withdrawn, contradicted, http_status
FROM deliveries WHERE run = ?1 AND round = ?2 AND batch = ?3 ORDER BY number
