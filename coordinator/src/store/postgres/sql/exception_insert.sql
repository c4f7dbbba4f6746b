-- unnest: all exceptions of a report in one statement.
INSERT INTO exceptions (run, round, batch, at, position, kind, stage, reason, http_status, body, provisional)
SELECT $1, $2, $3, $4, k.position, k.kind, k.stage, k.reason, k.http_status, k.body, k.provisional
FROM unnest($5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::bigint[], $10::text[], $11::bigint[])
     AS k (position, kind, stage, reason, http_status, body, provisional)
ON CONFLICT (run, round, batch, position) DO UPDATE SET
  at = excluded.at, kind = excluded.kind, stage = excluded.stage, reason = excluded.reason,
  http_status = excluded.http_status, body = excluded.body, provisional = excluded.provisional
