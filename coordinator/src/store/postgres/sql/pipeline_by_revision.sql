SELECT name, revision, canonical FROM pipelines WHERE revision = $1
