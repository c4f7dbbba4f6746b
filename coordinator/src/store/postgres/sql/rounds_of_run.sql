SELECT o.round, o.revision, o.opened_at, o.opened_by, o.records, o.finished_at, v.verdict,
       o.took_dead_letter, o.took_gone, o.took_cancelled, o.took_in_doubt
FROM rounds o LEFT JOIN verdicts v ON v.run = o.run AND v.round = o.round
WHERE o.run = $1 ORDER BY o.round
