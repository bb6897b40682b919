-- Let parked jobs into the line again, at the place they had.
-- takes: seqs (JSON list)
UPDATE tidewheel_jobs SET state = 'available'
WHERE seq IN (SELECT value FROM json_each(?))
