-- What a runner needs of the picked jobs, in the fields of `Claimed`.
-- takes: claimed_at, seqs (JSON list)
-- gives: one JSON list of lists, in the order of the picks: that of the walk along the list. An ORDER BY would sort the rows
--        once more, and take as long as all the rest
SELECT json_group_array(json_array(jobs.id, jobs.epoch, jobs.kind, jobs.queue, jobs.args, jobs.attempt, jobs.max_attempts,
    jobs.crashes, jobs.enqueued_at, ?1, jobs.tags, jobs.meta, jobs.options, jobs.max_crashes))
FROM json_each(?2) AS picked CROSS JOIN tidewheel_jobs AS jobs ON jobs.seq = picked.value
