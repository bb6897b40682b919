-- Let the next sweep look at what waits at the gates of a limit, but for those of which something of their own is said.
-- takes: now, limit
UPDATE tidewheel_gates SET opens_at = ?
WHERE "limit" = ? AND waiting AND (key = "limit" OR NOT EXISTS (SELECT 1 FROM tidewheel_limits WHERE name = key))
