-- Running jobs with limits.
-- gives: one JSON list of seqs
SELECT json_group_array(seq) FROM tidewheel_jobs WHERE state = 'running' AND flow IS NOT NULL
