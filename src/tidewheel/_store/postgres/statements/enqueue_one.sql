-- Add one job that may run at once; if it clashes with an id or a live unique key it is left out, or, without LEAVE_OUT in
-- the place of {clash}, the statement fails. With EARLY in the place of {early} its commit does not wait for the disk.
-- takes: now or null, a channel and a word to notify it with (or nulls), then the columns that it has something in
-- gives: one row, or none when it was left out
-- locks: waits for another transaction that adds the same id or unique key
INSERT INTO {schema}.jobs (state, run_at, enqueued_at, {columns})
VALUES ('available', coalesce($1::bigint, {clock}), coalesce($1::bigint, {clock}), {values})
{clash}
RETURNING CASE WHEN $2::text IS NOT NULL THEN pg_notify($2, $3::text) END{early}
