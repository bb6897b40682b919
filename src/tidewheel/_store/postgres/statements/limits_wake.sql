-- Limits have changed: let the next sweep look at what waits there.
-- takes: now or null, names of limits or gates
-- locks: the gates, in the order of their keys; the caller is alone with the limits
UPDATE {schema}.gates SET opens_at = coalesce($1::bigint, {clock})
WHERE key = ANY (ARRAY(
    SELECT key FROM {schema}.gates
    WHERE key = ANY (ARRAY(
        SELECT key FROM {schema}.gates WHERE waiting AND "limit" = ANY ($2::text[])
        UNION SELECT key FROM {schema}.gates WHERE waiting AND key = ANY ($2::text[])
    ))
    ORDER BY key FOR UPDATE
))
