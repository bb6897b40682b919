-- What the running jobs under these leases have passed.
-- takes: JSON list of [id, epoch]
-- gives: one JSON list of flows
SELECT json_group_array(jobs.flow)
FROM json_each(?) AS asked CROSS JOIN tidewheel_jobs AS jobs ON jobs.id = asked.value ->> 0
WHERE jobs.epoch = asked.value ->> 1 AND jobs.state = 'running' AND jobs.flow IS NOT NULL
