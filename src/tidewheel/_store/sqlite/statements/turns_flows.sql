-- What those must pass whose turn it is at gates.
-- takes: keys (JSON list)
-- gives: one JSON list of [key, flow, or NULL when the job is gone or has ended]
SELECT json_group_array(json_array(gates.key, jobs.flow))
FROM json_each(?) AS asked CROSS JOIN tidewheel_gates AS gates ON gates.key = asked.value
LEFT JOIN tidewheel_jobs AS jobs ON jobs.seq = gates.holder AND jobs.finished_at IS NULL
