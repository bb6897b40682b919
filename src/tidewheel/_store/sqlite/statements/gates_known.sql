-- Those of these gates that somebody passed, waits at, or holds shut.
-- takes: keys (JSON list)
-- gives: one JSON list of keys
SELECT json_group_array(gates.key)
FROM json_each(?) AS asked CROSS JOIN tidewheel_gates AS gates ON gates.key = asked.value
