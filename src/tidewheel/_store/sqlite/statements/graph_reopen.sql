-- A child is retried: its edges are open again.
-- takes: child
UPDATE tidewheel_edges SET state = NULL, result = NULL, error = NULL WHERE child = ?
