-- ANY: all of a page in one statement.
UPDATE unchanged SET seen = 1 WHERE run = $1 AND id = ANY($2::text[])
