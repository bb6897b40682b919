-- Those of these gates that `gates_free` leaves alone.
-- takes: keys (JSON list)
-- gives: one JSON list of keys
SELECT json_group_array(asked.value) FROM json_each(?) AS asked
WHERE NOT EXISTS (
    SELECT 1 FROM tidewheel_gates WHERE key = asked.value AND NOT waiting AND opens_at IS NULL AND level = '[]'
)
