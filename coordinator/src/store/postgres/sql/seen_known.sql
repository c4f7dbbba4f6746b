-- ANY: all of a page in one statement.
SELECT seq FROM seen WHERE run = $1 AND seq = ANY($2::bigint[])
