-- When a run was last resumed: what its target did not take before says nothing of how it is since.
ALTER TABLE runs ADD COLUMN resumed_at bigint NOT NULL DEFAULT 0;
