-- The jobs that a call of enqueue meets: by their ids, and the live ones that hold unique keys.
-- takes: now or null, ids, unique keys
-- gives: the columns of ending.Row, now. It is read here, not where the keys were locked: who has ended meanwhile ended
--        before it.
SELECT {row}, coalesce($1::bigint, {clock}) FROM {schema}.jobs WHERE id = ANY ((SELECT $2::text[])::text[])
UNION ALL
SELECT {row}, coalesce($1::bigint, {clock}) FROM {schema}.jobs WHERE unique_key = ANY ((SELECT $3::text[])::text[]) AND {live}
