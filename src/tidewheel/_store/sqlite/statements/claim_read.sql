-- What a runner needs of the picked jobs, in the fields of `Claimed`.
-- takes: claimed_at, seqs (JSON list)
-- gives: one JSON list of lists, in the order of the picks
SELECT json_group_array(json_array(id, epoch, kind, queue, args, attempt, max_attempts, crashes, enqueued_at, ?1,
    tags, meta, options, max_crashes))
FROM (
    SELECT jobs.* FROM json_each(?2) AS picked CROSS JOIN tidewheel_jobs AS jobs ON jobs.seq = picked.value
    ORDER BY picked.key
)
