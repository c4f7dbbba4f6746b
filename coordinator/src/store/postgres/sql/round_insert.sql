INSERT INTO rounds (run, round, revision, opened_at, opened_by, request_id, request_digest)
VALUES ($1, $2, $3, $4, $5, $6, $7)
