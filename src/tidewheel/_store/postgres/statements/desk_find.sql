-- The jobs that a call of enqueue meets: by their ids, and the live ones that hold unique keys.
-- takes: ids, unique keys
-- gives: the columns of ending.Row
SELECT {row} FROM {schema}.jobs WHERE id = ANY ((SELECT $1::text[])::text[])
UNION ALL
SELECT {row} FROM {schema}.jobs WHERE unique_key = ANY ((SELECT $2::text[])::text[]) AND {live}
