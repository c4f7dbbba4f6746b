UPDATE leases SET report_digest = ?5, report_answer = ?6, requests = ?7, retries = ?8, hedges = ?9, bytes = ?10, trace_id = ?11,
                  waited_ms = ?12
WHERE run = ?1 AND round = ?2 AND batch = ?3 AND epoch = ?4
