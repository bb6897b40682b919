-- Jobs whose children have ended: into the line with them, or to the others whose time has not come.
-- takes: now, seqs
-- gives: how many are available now, and how many are not
-- locks: the rows; the caller has locked them already
WITH released AS (
    UPDATE {schema}.jobs
    SET parked_by = NULL, state = CASE WHEN run_at > $1::bigint THEN 'scheduled' ELSE 'available' END,
        run_at = run_at - CASE WHEN run_at > $1::bigint THEN 0 ELSE coalesce(lead, 0) END
    WHERE seq = ANY ((SELECT $2::bigint[])::bigint[])
    RETURNING state
)
SELECT count(*) FILTER (WHERE state = 'available'), count(*) FILTER (WHERE state <> 'available') FROM released
