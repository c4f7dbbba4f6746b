-- How runs share the workers: the highest priority first; within one, leases by weight; at most so many sessions that hold
-- leases of the run (0: no bound). Only adds: a program that knows none of this goes on writing.
ALTER TABLE runs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN weight INTEGER NOT NULL DEFAULT 100;
ALTER TABLE runs ADD COLUMN max_workers INTEGER NOT NULL DEFAULT 0;
