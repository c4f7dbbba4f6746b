SELECT min(due_at) FROM notices WHERE destination = $1 AND state = 0
