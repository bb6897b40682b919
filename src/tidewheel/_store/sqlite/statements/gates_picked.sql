-- Those of the picked jobs that nobody has claimed yet.
-- takes: seqs (JSON list)
-- gives: one JSON list of [seq, flow, parked_by, expires_at], in the order of the picks
SELECT json_group_array(json_array(seq, flow, parked_by, expires_at)) FROM (
    SELECT jobs.seq, jobs.flow, jobs.parked_by, jobs.expires_at
    FROM json_each(?) AS picked CROSS JOIN tidewheel_jobs AS jobs ON jobs.seq = picked.value
    WHERE jobs.state = 'available'
    ORDER BY picked.key
)
