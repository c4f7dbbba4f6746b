INSERT OR REPLACE INTO exceptions (run, round, batch, at, position, kind, stage, reason, http_status, body, provisional)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
