-- The oldest jobs of a group up to one; jobs with a keeping time of their own are left to it.
-- takes: queue, kind, completed (0 or 1), finished_at, seq, limit
-- gives: one JSON list of seqs
SELECT json_group_array(seq) FROM (
    SELECT seq FROM tidewheel_jobs
    WHERE queue = ?1 AND kind = ?2 AND (state = 'completed') = ?3
        AND finished_at <= ?4 AND (finished_at < ?4 OR seq <= ?5) AND prune_at IS NULL
    ORDER BY finished_at, seq LIMIT ?6
)
