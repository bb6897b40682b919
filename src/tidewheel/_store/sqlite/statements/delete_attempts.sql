-- takes: seqs (JSON list)
DELETE FROM tidewheel_attempts WHERE job IN (SELECT value FROM json_each(?))
