-- The next jobs of a queue, in order: those on their last life, or the others.
-- takes: queue, on their last life?, kinds (JSON list), slots
-- gives: their seqs as one JSON list, and their number. One row: every row handed to Python gives up and takes back
--        the interpreter lock, which a busy event loop would make us wait for.
SELECT json_group_array(seq), count(*) FROM (
    SELECT seq FROM tidewheel_jobs
    WHERE state = 'available' AND queue = ?1 AND last_life = ?2 AND kind IN (SELECT value FROM json_each(?3))
        AND NOT EXISTS (SELECT 1 FROM tidewheel_queues WHERE name = ?1 AND paused)
    ORDER BY priority, line, turn
    LIMIT ?4
)
