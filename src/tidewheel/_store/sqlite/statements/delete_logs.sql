-- takes: seqs (JSON list)
DELETE FROM tidewheel_logs WHERE job IN (SELECT value FROM json_each(?))
