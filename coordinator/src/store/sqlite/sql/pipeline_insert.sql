INSERT OR IGNORE INTO pipelines (revision, name, canonical, created_at) VALUES (?1, ?2, ?3, ?4)
