-- Complete the jobs whose lease still holds.
-- takes: now or null, ids (sorted: all who lock several rows go by their ids), epochs, results, progress of each or null
-- gives: how many
-- locks: their rows
WITH done AS (
    UPDATE {schema}.jobs AS jobs
    SET state = 'completed', finished_at = at.now, lease_until = NULL, cancel_requested = false, result = ended.result,
        progress = coalesce(ended.progress, jobs.progress), prune_at = at.now + keep_completed
    FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[]) AS ended (id, epoch, result, progress)
    CROSS JOIN (SELECT coalesce($1::bigint, {clock}) AS now) AS at
    WHERE jobs.id = ended.id AND jobs.epoch = ended.epoch AND jobs.state = 'running'
    RETURNING 1
)
SELECT count(*) FROM done
