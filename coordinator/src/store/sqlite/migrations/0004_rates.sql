-- What hosts get from all processes together: one timetable for each. Times are nanoseconds since the epoch on the
-- ledger's clock.

CREATE TABLE hosts (
    host         TEXT PRIMARY KEY,           -- scheme://name:port
    full_at      INTEGER NOT NULL DEFAULT 0, -- requests up to then have been given out
    closed_until INTEGER NOT NULL DEFAULT 0  -- it asked to be left alone
) STRICT, WITHOUT ROWID;
