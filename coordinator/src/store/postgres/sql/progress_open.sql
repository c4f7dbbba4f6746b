-- Sums of bigint are numeric; the cast makes it bigint again. No INDEXED BY: PostgreSQL plans by statistics.
SELECT count(*), coalesce(sum(size), 0)::bigint FROM deliveries WHERE run = $1 AND round = $2 AND state = 0
