-- The first gates of all.
-- takes: how many
-- gives: one JSON list of keys
SELECT json_group_array(key) FROM (SELECT key FROM tidewheel_gates ORDER BY key LIMIT ?)
