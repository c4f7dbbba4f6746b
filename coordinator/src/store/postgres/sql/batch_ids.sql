-- unnest: the records of several batches in one statement. A subquery of each, which the planner
-- looks up by the primary key, in whose order they come.
SELECT k.at, nullif(array_to_string(ARRAY(
      SELECT id FROM records WHERE run = k.run AND round = k.round AND seq >= k.first AND seq < k.after ORDER BY seq), E'\n'), '')
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS k (at, run, round, first, after)
