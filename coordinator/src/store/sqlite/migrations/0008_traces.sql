-- Traces of batches: the ID of the trace of the work under a lease; NULL: its worker exported none.
ALTER TABLE leases ADD COLUMN trace_id BLOB;
