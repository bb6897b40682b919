-- Gates that somebody is to look at by now, those first that are overdue longest.
-- takes: now, limit
-- gives: one JSON list of keys
SELECT json_group_array(key) FROM (
    SELECT key FROM tidewheel_gates WHERE opens_at <= ? ORDER BY opens_at, key LIMIT ?
)
