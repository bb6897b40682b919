-- The newest job of a group that is beyond the number to keep.
-- takes: queue, kind, completed (0 or 1), number to keep
-- gives: (finished_at, seq)
SELECT finished_at, seq FROM tidewheel_jobs
WHERE queue = ? AND kind = ? AND (state = 'completed') = ? AND finished_at IS NOT NULL
    AND prune_at IS NULL
ORDER BY finished_at DESC, seq DESC LIMIT 1 OFFSET ?
