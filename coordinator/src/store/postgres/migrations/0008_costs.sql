-- How long the requests under a lease were held back before they were sent, all together; 0 also where the worker did not tell.
ALTER TABLE leases ADD COLUMN waited_ms bigint NOT NULL DEFAULT 0;
