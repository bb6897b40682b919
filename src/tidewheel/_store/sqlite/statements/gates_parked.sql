-- Which of these gates have jobs parked under them?
-- takes: gates (JSON list)
-- gives: one JSON list of them
SELECT json_group_array(value) FROM json_each(?)
WHERE EXISTS (SELECT 1 FROM tidewheel_jobs WHERE parked_by = value AND state = 'parked')
