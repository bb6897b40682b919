-- Finished jobs whose own keeping time is over.
-- takes: now, limit
-- gives: one JSON list of seqs
SELECT json_group_array(seq) FROM (
    SELECT seq FROM tidewheel_jobs
    WHERE prune_at <= ? AND finished_at IS NOT NULL ORDER BY prune_at LIMIT ?
)
