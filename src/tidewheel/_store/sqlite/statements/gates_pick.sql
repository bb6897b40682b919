-- As `claim_pick`, with what they must pass: for queues of which most jobs have limits.
-- takes: queue, on their last life?, kinds (JSON list), slots
-- gives: one JSON list of [seq, flow, parked_by, expires_at]
SELECT json_group_array(json_array(seq, flow, parked_by, expires_at)) FROM (
    SELECT seq, flow, parked_by, expires_at FROM tidewheel_jobs
    WHERE state = 'available' AND queue = ?1 AND last_life = ?2 AND kind IN (SELECT value FROM json_each(?3))
        AND NOT EXISTS (SELECT 1 FROM tidewheel_queues WHERE name = ?1 AND paused)
    ORDER BY priority, line, turn
    LIMIT ?4
)
