-- The first jobs of some lines, lifo ones left aside.
-- takes: queue and priority of each line, how many
-- gives: (queue, priority, id, place), of all kinds, also those on their last lives
SELECT asked.queue, asked.priority, one.id, one.run_at
FROM unnest((SELECT $1::text[]), (SELECT $2::int[])) AS asked (queue, priority)
CROSS JOIN unnest(ARRAY[0, 1]) AS life (last)
CROSS JOIN LATERAL (
    SELECT id, run_at FROM {schema}.jobs
    WHERE state = 'available' AND queue = asked.queue AND {last_life} = life.last AND priority = asked.priority
        AND (CASE WHEN lifo THEN -run_at ELSE run_at END) >= 0 AND NOT lifo
    ORDER BY queue, {last_life}, priority, {line}
    LIMIT (SELECT $3::bigint)
) AS one
