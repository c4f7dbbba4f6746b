-- The source's first page is in the ledger before any other is asked for.
SELECT $2 - min(page) + 1 FROM pages WHERE run = $1 AND pass = $3
