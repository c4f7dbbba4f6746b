INSERT INTO deliveries (run, round, batch, epoch, ordinal, number, positions, size, body_sha256, retry_of, tries, begun_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
