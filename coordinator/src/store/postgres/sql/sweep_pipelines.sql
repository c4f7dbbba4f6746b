DELETE FROM pipelines WHERE revision NOT IN (SELECT revision FROM rounds) AND revision NOT IN (SELECT revision FROM runs)
