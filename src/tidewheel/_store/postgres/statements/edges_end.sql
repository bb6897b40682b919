-- Jobs have ended: write it on the edges on which somebody waits for them, or waited. One that is gone was cancelled; a
-- failed child that counts for nothing is forgotten.
-- takes: ids of the children
-- gives: (parent, child, place, what a failure means, state, error in three columns); of those forgotten, too
-- locks: the edges, in the order of their keys; the caller has locked the children, or removed them
--
-- The edges are there; see settle_complete why they are written by an INSERT. That they are open stands behind a SELECT: else
-- an index of all open ones would do.
WITH heard AS MATERIALIZED (
    SELECT edge.*
    FROM unnest((SELECT $1::text[])) AS ended (id)
    CROSS JOIN LATERAL (
        SELECT ctid AS at, parent, child, place, on_failure FROM {schema}.edges
        WHERE edges.child = ended.id AND (edges.state IS NULL) = (SELECT true)
        ORDER BY child, parent FOR UPDATE
    ) AS edge
),
ends AS MATERIALIZED (
    SELECT heard.*, coalesce(jobs.state, 'cancelled') AS state, jobs.result,
        CASE WHEN jobs.state <> 'completed' THEN jobs.error_type END AS error_type,
        CASE WHEN jobs.state <> 'completed' THEN jobs.error_message END AS error_message,
        CASE WHEN jobs.state <> 'completed' THEN jobs.error_traceback END AS error_traceback
    FROM heard LEFT JOIN LATERAL (
        SELECT * FROM {schema}.jobs WHERE jobs.id = heard.child AND jobs.{final} OFFSET 0
    ) AS jobs ON true
),
forgotten AS (
    DELETE FROM {schema}.edges WHERE ctid = ANY (ARRAY(
        SELECT at FROM ends WHERE on_failure = 'remove' AND state <> 'completed'
    ))
),
told AS (
    INSERT INTO {schema}.edges (parent, child, place, on_failure, state, result, error_type, error_message, error_traceback)
    SELECT parent, child, place, on_failure, state, result, error_type, error_message, error_traceback
    FROM ends WHERE on_failure <> 'remove' OR state = 'completed'
    ON CONFLICT (parent, child) DO UPDATE
    SET state = excluded.state, result = excluded.result, error_type = excluded.error_type,
        error_message = excluded.error_message, error_traceback = excluded.error_traceback
)
SELECT parent, child, place, on_failure, state, error_type, error_message, error_traceback FROM ends
