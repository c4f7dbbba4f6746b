UPDATE runs SET rejected_batches = ?2, rejected_records = ?3 WHERE run = ?1
