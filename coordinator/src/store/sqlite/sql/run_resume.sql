UPDATE runs SET state = 0, state_reason = '' WHERE run = ?1 AND state = 1
