-- What new jobs wait for; of children that have ended already, how.
-- takes: an array of each: parent, child, place, what a failure means, state or null, error (type, message, traceback)
--
-- The result is that of the child's row, which the caller has locked. Code that knew no graphs may have left edges of a job
-- with the same id.
INSERT INTO {schema}.edges (parent, child, place, on_failure, state, result, error_type, error_message, error_traceback)
SELECT parent, child, place, on_failure, state, CASE WHEN state IS NOT NULL THEN (
    SELECT result FROM {schema}.jobs WHERE jobs.id = new.child
) END, error_type, error_message, error_traceback
FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::int[]), (SELECT $4::text[]), (SELECT $5::text[]),
        (SELECT $6::text[]), (SELECT $7::text[]), (SELECT $8::text[]))
    AS new (parent, child, place, on_failure, state, error_type, error_message, error_traceback)
ON CONFLICT (parent, child) DO UPDATE
SET place = excluded.place, on_failure = excluded.on_failure, state = excluded.state, result = excluded.result,
    error_type = excluded.error_type, error_message = excluded.error_message, error_traceback = excluded.error_traceback
