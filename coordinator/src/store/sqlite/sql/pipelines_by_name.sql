SELECT name, revision, canonical FROM pipelines WHERE name = ?1
