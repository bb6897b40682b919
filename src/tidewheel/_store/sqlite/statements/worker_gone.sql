-- Forget a worker that has stopped.
-- takes: id
DELETE FROM tidewheel_workers WHERE id = ?
