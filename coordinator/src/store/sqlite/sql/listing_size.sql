SELECT next_seq, closed_at IS NOT NULL FROM listings WHERE run = ?1
