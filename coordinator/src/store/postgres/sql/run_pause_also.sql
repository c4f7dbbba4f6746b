-- One more reason of a run that is paused, which whoever resumes it reads.
UPDATE runs SET state_reason = state_reason || '; and ' || $2 WHERE run = $1 AND state = 1
