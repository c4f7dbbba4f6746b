-- unnest: the records of several batches in one statement. A subquery of each, which the planner looks up by the primary
-- key, in whose order they come; string_agg takes them as they come, where its own ORDER BY would sort them once more.
SELECT k.at, (SELECT string_agg(id, E'\n') FROM (
      SELECT id FROM records WHERE run = k.run AND round = k.round AND seq >= k.first AND seq < k.after ORDER BY seq) r)
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS k (at, run, round, first, after)
