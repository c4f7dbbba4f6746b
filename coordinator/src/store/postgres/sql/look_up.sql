-- What a group reads and writes it looks up by its keys. Left alone, the planner reads a whole table instead, as long as
-- that is small; and the plan stays when it has grown. Until the transaction ends.
SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
