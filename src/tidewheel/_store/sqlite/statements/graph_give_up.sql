-- A parent is given up.
-- takes: finished_at, prune_at, error, seq
UPDATE tidewheel_jobs SET state = 'discarded', finished_at = ?, prune_at = ?, error = ?, parked_by = NULL WHERE seq = ?
