-- Never shortens: an open delivery holds the lease for longer than a renewal would. greatest: PostgreSQL's max is for rows.
-- unnest: all batches of a renewal in one statement; they are held.
UPDATE batches b SET expires_at = greatest(b.expires_at, $1)
FROM unnest($2::bigint[], $3::bigint[], $4::bigint[]) AS k (run, round, batch)
WHERE b.run = k.run AND b.round = k.round AND b.batch = k.batch
