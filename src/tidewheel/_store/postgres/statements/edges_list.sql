-- The edges in which one of these jobs is parent or child, each once.
-- takes: ids
-- gives: the columns of graphs._edge, by (parent, place)
WITH found AS MATERIALIZED (
    SELECT * FROM {schema}.edges WHERE parent = ANY ((SELECT $1::text[])::text[])
),
others AS MATERIALIZED (
    SELECT * FROM {schema}.edges WHERE child = ANY ((SELECT $1::text[])::text[])
)
SELECT parent, child, on_failure, state, result, error_type, error_message, error_traceback, place
FROM (SELECT * FROM found UNION ALL SELECT * FROM others WHERE parent <> ALL (SELECT parent FROM found)) AS edges
ORDER BY parent, place
