UPDATE listings SET total_pages = $2, next_seq = $3, next_batch = $4, pass = $5, last_page = $6, cursor = $7, total = $8,
                    unchanged = $9
WHERE run = $1
