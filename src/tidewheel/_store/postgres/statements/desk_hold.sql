-- Jobs that may be changed, or must not end meanwhile.
-- takes: ids
-- gives: the columns of ending.Row
-- locks: their rows, in the order of their ids
SELECT {row} FROM {schema}.jobs WHERE id = ANY ((SELECT $1::text[])::text[]) ORDER BY id FOR UPDATE
