SELECT since, seen_at FROM serving WHERE one = 1
