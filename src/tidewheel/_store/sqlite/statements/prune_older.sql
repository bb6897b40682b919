-- The oldest jobs of a group up to one; jobs with a keeping time of their own are left to it.
-- takes: queue, kind, completed (0 or 1), finished_at, finished_at, seq, limit
-- gives: one JSON list of seqs
SELECT json_group_array(seq) FROM (
    SELECT seq FROM tidewheel_jobs
    WHERE queue = ? AND kind = ? AND (state = 'completed') = ? AND state IN ('completed', 'cancelled', 'discarded')
        AND (finished_at < ? OR (finished_at = ? AND seq <= ?)) AND prune_at IS NULL
    ORDER BY finished_at, seq LIMIT ?
)
