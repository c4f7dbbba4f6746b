-- As 0006 did for batches: while it has no statistics, this index looked as good as the primary key for the deliveries of one
-- batch, for which all deliveries of the run were read then. By the run + 0 only whoever means it takes it: sql/delivery_by_number.sql.
DROP INDEX deliveries_by_number;
CREATE INDEX deliveries_by_number ON deliveries ((run + 0), number);
