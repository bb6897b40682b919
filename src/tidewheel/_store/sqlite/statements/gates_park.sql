-- Park jobs under the gates that refuse them.
-- takes: JSON list of [seq, gate]
UPDATE tidewheel_jobs SET state = 'parked', parked_by = refused.gate
FROM (SELECT value ->> 0 AS seq, value ->> 1 AS gate FROM json_each(?)) AS refused
WHERE tidewheel_jobs.seq = refused.seq
