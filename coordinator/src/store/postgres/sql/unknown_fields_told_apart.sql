-- From path to path: a count over all rows would take longer with every batch.
WITH RECURSIVE paths (path) AS (
    SELECT min(path) FROM unknown_fields WHERE run = $1 AND round = $2 AND path > ''
    UNION ALL
    SELECT (SELECT min(f.path) FROM unknown_fields f WHERE f.run = $1 AND f.round = $2 AND f.path > paths.path)
    FROM paths WHERE paths.path IS NOT NULL
)
SELECT count(path) FROM paths
