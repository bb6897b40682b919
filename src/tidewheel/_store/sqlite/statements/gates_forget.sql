-- takes: keys (JSON list)
DELETE FROM tidewheel_gates WHERE key IN (SELECT value FROM json_each(?))
