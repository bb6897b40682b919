-- Jobs that had ended come back: whoever waits for them waits on.
-- takes: ids
-- locks: their edges, and their rows, which the caller has locked already
WITH opened AS (
    UPDATE {schema}.edges SET state = NULL, result = NULL, error_type = NULL, error_message = NULL, error_traceback = NULL
    WHERE child = ANY ((SELECT $1::text[])::text[])
    RETURNING child
)
UPDATE {schema}.jobs SET awaited = true WHERE id = ANY (ARRAY(SELECT child FROM opened)) AND awaited IS NULL
