-- What a group reads and writes it looks up by its keys. Left alone, the planner reads a whole table instead, as long as
-- that is small; and the plan stays when it has grown. Until the transaction ends. One message with its BEGIN.
BEGIN; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off
