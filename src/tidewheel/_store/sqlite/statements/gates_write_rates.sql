-- The same for gates of a rate, with what it remembers.
-- takes: limit, used, JSON list of [key, level, idle_at]
INSERT OR REPLACE INTO tidewheel_gates (key, "limit", used, level, shut_until, waiting, needs, opens_at, idle_at)
SELECT value ->> 0, ?1, ?2, value ->> 1, 0, 0, 1, NULL, value ->> 2 FROM json_each(?3)
