-- Write gates.
-- takes: keys, used, level (an array as text), shut_until, waiting, needs, holder, opens_at
-- locks: their rows; the caller has locked them already
--
-- They are there; see settle_complete why this is an INSERT.
INSERT INTO {schema}.gates (key, "limit", used, level, shut_until, waiting, needs, holder, opens_at)
SELECT key, split_part(key, ':', 1), used, CAST(level AS bigint[]), shut_until, waiting, needs, holder, opens_at
FROM unnest((SELECT $1::text[]), (SELECT $2::int[]), (SELECT $3::text[]), (SELECT $4::bigint[]),
        (SELECT $5::boolean[]), (SELECT $6::bigint[]), (SELECT $7::bigint[]), (SELECT $8::bigint[]))
    AS new (key, used, level, shut_until, waiting, needs, holder, opens_at)
ON CONFLICT (key) DO UPDATE
SET used = excluded.used, level = excluded.level, shut_until = excluded.shut_until, waiting = excluded.waiting,
    needs = excluded.needs, holder = excluded.holder, opens_at = excluded.opens_at
