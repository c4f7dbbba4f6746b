UPDATE runs SET state = 1, state_reason = ?2, paused_itself = ?3 WHERE run = ?1 AND state = 0
