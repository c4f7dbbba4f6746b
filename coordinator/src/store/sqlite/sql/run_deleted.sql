SELECT run FROM runs INDEXED BY runs_deleted WHERE deleted_at IS NOT NULL ORDER BY run LIMIT 1
