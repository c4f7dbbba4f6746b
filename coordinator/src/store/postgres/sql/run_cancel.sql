UPDATE runs SET state = 2, state_reason = '' WHERE run = $1 AND state IN (0, 1)
