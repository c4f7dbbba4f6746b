-- As 0006 did for batches: while it has no statistics, the index of numbers looked as good as the primary key for the deliveries of
-- one batch, for which all deliveries of the run were read then. By the run + 0 only whoever means it takes it:
-- sql/delivery_by_number.sql. The old one goes last: others read on while the new one is built.
CREATE INDEX deliveries_numbered ON deliveries ((run + 0), number);
DROP INDEX deliveries_by_number;
