-- Wait until the disk has what was committed before, by whomever: a commit that waits for the disk waits for all before it.
-- takes: nothing
-- gives: nothing of interest
-- locks: nothing
--
-- It must write something, or there is nothing to wait for: a message that nobody reads (see flush_how.sql).
SELECT pg_logical_emit_message(true, 'tidewheel', '')
