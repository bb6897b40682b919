-- A new parent waits for its children.
-- takes: id
UPDATE tidewheel_jobs SET state = 'parked', parked_by = ':children' WHERE id = ?
