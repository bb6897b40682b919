-- Write gates, new or changed.
-- takes: JSON list of [key, limit, used, level, shut_until, waiting, needs, opens_at, idle_at, holder]
INSERT OR REPLACE INTO tidewheel_gates (key, "limit", used, level, shut_until, waiting, needs, opens_at, idle_at,
    holder)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
    value ->> 8, value ->> 9
FROM json_each(?)
