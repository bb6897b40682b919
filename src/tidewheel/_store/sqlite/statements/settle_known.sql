-- Which of these settlements were written, now or by an earlier call whose reply was lost?
-- takes: JSON list of [id, epoch]
-- gives: one JSON list of [id, epoch]
SELECT json_group_array(json_array(jobs.id, jobs.epoch))
FROM json_each(?) AS asked CROSS JOIN tidewheel_jobs AS jobs ON jobs.id = asked.value ->> 0
WHERE jobs.epoch = asked.value ->> 1 AND jobs.state <> 'running'
