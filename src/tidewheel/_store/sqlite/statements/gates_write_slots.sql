-- Write gates of a limit of which there is nothing to say but how many slots are in use, the same for all. Most are such,
-- and taking a row of JSON apart is the larger part of writing it.
-- takes: limit, used, keys (JSON list)
INSERT OR REPLACE INTO tidewheel_gates (key, "limit", used, level, shut_until, waiting, needs, opens_at, idle_at)
SELECT value, ?1, ?2, '[]', 0, 0, 1, NULL, iif(?2, NULL, 0) FROM json_each(?3)
