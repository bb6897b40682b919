-- Keys to be looked at, those first that wait longest for it.
-- takes: now, limit
-- gives: one JSON list of keys
SELECT json_group_array(key) FROM (SELECT key FROM tidewheel_keys WHERE look_at <= ? ORDER BY look_at LIMIT ?)
