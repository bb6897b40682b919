-- Finished jobs whose own keeping time is over.
-- takes: now, limit
-- gives: their seqs
-- locks: their rows, passing over those that others hold
SELECT seq FROM {schema}.jobs
WHERE prune_at <= $1 AND {final}
ORDER BY prune_at, seq LIMIT $2
FOR UPDATE SKIP LOCKED
