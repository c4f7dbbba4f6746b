-- The database's clock, and the row that makes it the ledger's: see time.rs.
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, since, seen_at, ahead FROM serving WHERE one = 1
