-- What hosts get from all processes together: one timetable for each. Times are nanoseconds since the epoch on the
-- ledger's clock.

CREATE TABLE hosts (
    host         text PRIMARY KEY,          -- scheme://name:port
    full_at      bigint NOT NULL DEFAULT 0, -- requests up to then have been given out
    closed_until bigint NOT NULL DEFAULT 0  -- it asked to be left alone
);
