-- The oldest jobs of groups that are beyond a number, or ended before a moment; jobs with a keeping time of their own
-- are left to it.
-- takes: limit, then an array of each: queue, kind, completed, number to keep or null, ended before or null
-- gives: their seqs
-- locks: their rows, passing over those that others hold
SELECT over.seq
FROM unnest((SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::boolean[]), (SELECT $5::bigint[]), (SELECT $6::bigint[]))
    AS rule (queue, kind, completed, number, moment)
LEFT JOIN LATERAL (
    SELECT finished_at, seq FROM {schema}.jobs
    WHERE rule.number IS NOT NULL AND queue = rule.queue AND kind = rule.kind AND (state = 'completed') = rule.completed
        AND {final} AND prune_at IS NULL
    ORDER BY finished_at DESC, seq DESC OFFSET coalesce(rule.number, 0) LIMIT 1
) AS bound ON true
CROSS JOIN LATERAL (
    SELECT seq FROM {schema}.jobs
    WHERE queue = rule.queue AND kind = rule.kind AND (state = 'completed') = rule.completed
        AND {final} AND prune_at IS NULL
        AND (finished_at, seq) <= (
            greatest(bound.finished_at, rule.moment - 1),
            CASE WHEN bound.finished_at >= coalesce(rule.moment, bound.finished_at) THEN bound.seq
                ELSE 9223372036854775807 END
        )
    ORDER BY finished_at, seq LIMIT $1
    FOR UPDATE SKIP LOCKED
) AS over
LIMIT $1
