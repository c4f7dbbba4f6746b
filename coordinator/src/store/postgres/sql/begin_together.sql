-- What a group reads and writes it looks up by its keys. Left alone, the planner reads a whole table instead, as long as
-- that is small; and the plan stays when it has grown. And it would plan each statement five times on each connection before
-- it keeps the plan. Until the transaction ends. One message with its BEGIN.
BEGIN; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL plan_cache_mode = force_generic_plan
