-- While a table has no statistics, an index that begins like its primary key looks as good to the planner, which then reads all
-- batches of a round for each that it looks up. By the run + 0 it can only be taken by who means it: sql/batch_of_seq.sql.
DROP INDEX batches_by_seq;
CREATE UNIQUE INDEX batches_by_seq ON batches ((run + 0), round, first_seq);
