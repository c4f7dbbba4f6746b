-- unnest: all of a page in one statement.
INSERT INTO seen (run, seq) SELECT $1, k.seq FROM unnest($2::bigint[]) AS k (seq)
