-- Remove jobs with their past, and what they waited for.
-- takes: seqs
-- locks: the rows; the caller has locked them already. Edges that others hold are passed over: one of its children ends,
--        and he who ends it finds the parent gone and removes them (see graphs.py)
WITH attempts AS (
    DELETE FROM {schema}.attempts WHERE job = ANY ($1::bigint[])
),
logs AS (
    DELETE FROM {schema}.logs WHERE job = ANY ($1::bigint[])
),
edges AS (
    DELETE FROM {schema}.edges WHERE ctid = ANY (ARRAY(
        SELECT edge.place FROM unnest($1::bigint[]) AS gone (seq)
        CROSS JOIN LATERAL (SELECT id FROM {schema}.jobs WHERE jobs.seq = gone.seq OFFSET 0) AS parent
        CROSS JOIN LATERAL (
            SELECT ctid AS place FROM {schema}.edges WHERE edges.parent = parent.id FOR UPDATE SKIP LOCKED
        ) AS edge
    ))
)
DELETE FROM {schema}.jobs WHERE seq = ANY ($1::bigint[])
