-- The next jobs of a queue, in order.
-- takes: queue, kinds (JSON list), queue again, slots
-- gives: their seqs as one JSON list. One row: every row handed to Python gives up and takes back the
--        interpreter lock, which a busy event loop would make us wait for.
SELECT json_group_array(seq) FROM (
    SELECT seq FROM tidewheel_jobs
    WHERE state = 'available' AND queue = ? AND kind IN (SELECT value FROM json_each(?))
        AND NOT EXISTS (SELECT 1 FROM tidewheel_queues WHERE name = ? AND paused)
    ORDER BY priority, line, turn
    LIMIT ?
)
