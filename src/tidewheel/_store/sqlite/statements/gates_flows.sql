-- What jobs must pass.
-- takes: seqs (JSON list)
-- gives: one JSON list of flows
SELECT json_group_array(jobs.flow) FROM json_each(?) AS asked CROSS JOIN tidewheel_jobs AS jobs ON jobs.seq = asked.value
