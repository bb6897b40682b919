-- Which of these leases hold?
-- takes: JSON list of [id, epoch, ...]
-- gives: one JSON list of [id, epoch, seq, cancel_requested]
SELECT json_group_array(json_array(jobs.id, jobs.epoch, jobs.seq, jobs.cancel_requested))
FROM json_each(?) AS asked CROSS JOIN tidewheel_jobs AS jobs ON jobs.id = asked.value ->> 0
WHERE jobs.epoch = asked.value ->> 1 AND jobs.state = 'running'
