-- Look at keys again later.
-- takes: look_at, keys (JSON list)
UPDATE tidewheel_keys SET look_at = max(?1, until) WHERE key IN (SELECT value FROM json_each(?2))
