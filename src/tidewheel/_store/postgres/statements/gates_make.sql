-- Gates that nobody met before.
-- takes: keys (sorted), limit of each
-- gives: as gates_lock, of those that were made
-- locks: the new rows; waits for others that make the same ones
INSERT INTO {schema}.gates (key, "limit")
SELECT key, "limit"
FROM unnest((SELECT $1::text[]), (SELECT $2::text[])) WITH ORDINALITY AS made (key, "limit", place)
ORDER BY place
ON CONFLICT DO NOTHING
RETURNING key, used, level, shut_until, waiting, needs, opens_at, holder,
    (SELECT declared FROM {schema}.limits WHERE name = gates."limit"),
    (SELECT operator FROM {schema}.limits WHERE name = gates."limit"),
    (SELECT operator FROM {schema}.limits WHERE name = gates.key AND gates.key <> gates."limit")
