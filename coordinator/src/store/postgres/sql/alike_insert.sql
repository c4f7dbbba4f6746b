-- unnest: all of them in one statement.
INSERT INTO loads_alike (run, revision) SELECT $1, k.revision FROM unnest($2::text[]) AS k (revision)
