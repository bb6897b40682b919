-- The same as flush.sql for who may not write messages: a lock is written, too.
-- takes: the id of a job that was committed before
-- gives: a row, or none when it is gone
-- locks: the job, against its deletion, and until the end of the transaction claims pass it over
SELECT 1 FROM {schema}.jobs WHERE id = $1 FOR KEY SHARE
