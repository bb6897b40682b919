-- Gates that nobody would miss.
-- takes: now, limit
-- gives: one JSON list of keys
SELECT json_group_array(key) FROM (
    SELECT key FROM tidewheel_gates WHERE idle_at <= ? ORDER BY key LIMIT ?
)
