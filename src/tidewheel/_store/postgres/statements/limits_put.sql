-- Store what limits say; rows that say nothing go.
-- takes: names (sorted), what was declared (JSON or null) and what the operator says of each
-- locks: their rows; the caller is alone with the limits
WITH said AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS said (name, declared, operator)
),
gone AS (
    DELETE FROM {schema}.limits USING said
    WHERE limits.name = said.name AND said.declared IS NULL AND said.operator IS NULL
)
INSERT INTO {schema}.limits (name, declared, operator)
SELECT name, declared, operator FROM said WHERE declared IS NOT NULL OR operator IS NOT NULL
ON CONFLICT (name) DO UPDATE SET declared = excluded.declared, operator = excluded.operator
