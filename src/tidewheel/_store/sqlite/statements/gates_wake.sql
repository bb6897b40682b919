-- Let the next sweep look at what waits at a gate.
-- takes: now, key
-- gives: the number of gates, one or none
UPDATE tidewheel_gates SET opens_at = ? WHERE key = ? AND waiting
