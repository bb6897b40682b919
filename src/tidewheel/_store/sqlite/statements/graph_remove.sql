-- Forget the edges of children that have failed and count for nothing then.
-- takes: ids of children (JSON list)
DELETE FROM tidewheel_edges
WHERE child IN (SELECT value FROM json_each(?)) AND on_failure = 'remove' AND state IN ('cancelled', 'discarded')
