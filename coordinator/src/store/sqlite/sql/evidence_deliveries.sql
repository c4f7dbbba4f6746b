SELECT number, epoch, ordinal, positions, size, state, tries, begun_at, body_sha256, retry_of,
       present, absent, probes, withdrawn, contradicted, http_status, batch
FROM deliveries WHERE run = ?1 AND round = ?2 AND batch BETWEEN ?3 AND ?4 ORDER BY batch, epoch, ordinal
