-- run + 0: as the index has it, see migrations/0010_numbers.sql.
SELECT round, batch, settled_by FROM deliveries WHERE run + 0 = $1 AND number = $2
