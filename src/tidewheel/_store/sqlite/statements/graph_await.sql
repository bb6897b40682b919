-- Mark children: their end is to be told.
-- takes: ids (JSON list)
UPDATE tidewheel_jobs SET awaited = 1 WHERE id IN (SELECT value FROM json_each(?)) AND awaited IS NULL
