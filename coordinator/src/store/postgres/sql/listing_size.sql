SELECT next_seq + unchanged, closed_at IS NOT NULL FROM listings WHERE run = $1
