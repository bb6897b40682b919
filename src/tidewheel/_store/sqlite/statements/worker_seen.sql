-- Remember that a worker lives.
-- takes: id, info (JSON), seen_at
INSERT INTO tidewheel_workers (id, info, seen_at) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET info = excluded.info, seen_at = excluded.seen_at
