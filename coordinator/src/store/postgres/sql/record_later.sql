-- Those of these IDs that a later round has. unnest: all in one statement.
SELECT k.id FROM unnest($3::text[]) AS k (id)
WHERE EXISTS (SELECT 1 FROM records r WHERE r.run = $1 AND r.round > $2 AND r.id = k.id)
