-- The first jobs parked under a gate, of the queue and kind of one of its jobs.
-- takes: gate, seq of that job, how many
-- gives: one JSON list of seqs
SELECT json_group_array(seq) FROM (
    SELECT seq FROM tidewheel_jobs
    WHERE parked_by = ?1 AND state = 'parked'
        AND queue = (SELECT queue FROM tidewheel_jobs WHERE seq = ?2)
        AND kind = (SELECT kind FROM tidewheel_jobs WHERE seq = ?2)
    ORDER BY priority, line, turn LIMIT ?3
)
