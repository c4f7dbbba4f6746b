DELETE FROM notices WHERE run = $1
