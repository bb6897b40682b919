-- Store settings of queues.
-- takes: names (sorted, so that two who store the same ones do not wait for each other), paused of each
INSERT INTO {schema}.queues (name, paused)
SELECT name, paused FROM unnest($1::text[], $2::boolean[]) AS given (name, paused)
ON CONFLICT (name) DO UPDATE SET paused = excluded.paused
