-- Let the next sweep look at what waits at the gates of a limit. A key of which something of its own is said is among them:
-- what is not said of it comes from the limit.
-- takes: now, limit
UPDATE tidewheel_gates SET opens_at = ? WHERE "limit" = ? AND waiting
