-- Gates that attempts hold slots of.
-- gives: one JSON list of keys
SELECT json_group_array(key) FROM tidewheel_gates WHERE used > 0
