-- Gates at which it is somebody's turn.
-- gives: one JSON list of keys
SELECT json_group_array(key) FROM tidewheel_gates WHERE holder IS NOT NULL
