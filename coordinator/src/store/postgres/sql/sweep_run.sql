-- Problems, listing, rounds and verdicts go with it: they are few.
DELETE FROM runs WHERE run = $1
