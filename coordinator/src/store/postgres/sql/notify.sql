-- Not every database that speaks PostgreSQL's protocol has this. It is worth it: a worker on another coordinator hears of
-- work at once, and of a lost lease before it spends more on it. In the transaction: told when that is committed.
SELECT pg_notify($1, $2)
