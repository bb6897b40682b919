-- Complete the jobs whose lease still holds.
-- takes: now or null, ids (sorted: all who lock several rows go by their ids), epochs, results, progress of each or null
-- gives: how many
-- locks: their rows
--
-- The state stands behind a SELECT so that the only index to find a row by is that of the ids.
WITH done AS (
    UPDATE {schema}.jobs AS jobs
    SET state = 'completed', finished_at = at.now, lease_until = NULL, cancel_requested = false, result = ended.result,
        progress = coalesce(ended.progress, jobs.progress), prune_at = at.now + keep_completed
    FROM unnest((SELECT $2::text[]), (SELECT $3::bigint[]), (SELECT $4::text[]), (SELECT $5::text[]))
        AS ended (id, epoch, result, progress)
    CROSS JOIN (SELECT coalesce($1::bigint, {clock}) AS now) AS at
    WHERE jobs.id = ended.id AND jobs.epoch = ended.epoch AND jobs.state = (SELECT 'running')
    RETURNING 1
)
SELECT count(*) FROM done
