-- What was listed without the unchanged.
SELECT next_seq FROM listings WHERE run = $1
