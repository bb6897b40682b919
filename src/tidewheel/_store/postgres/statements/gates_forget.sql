-- Forget gates.
-- takes: keys
-- locks: their rows; the caller has locked them already
DELETE FROM {schema}.gates WHERE key = ANY ($1::text[])
