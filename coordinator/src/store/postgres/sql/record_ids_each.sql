-- unnest: the records of several batches in one statement. LATERAL: see records_known.
SELECT k.at, r.seq, r.id FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS k (at, run, round, first, after)
CROSS JOIN LATERAL (SELECT seq, id FROM records
      WHERE run = k.run AND round = k.round AND seq >= k.first AND seq < k.after OFFSET 0) r
