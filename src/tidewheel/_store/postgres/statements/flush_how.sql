-- How to wait for the disk: by a message for logical decoding, which needs no table. Where somebody may read it nobody is early,
-- so nobody has to wait; who may not write it locks a row.
-- takes: nothing
-- gives: one row, a word of Habit.flushes
-- locks: nothing
SELECT CASE
    WHEN current_setting('wal_level') = 'logical' THEN 'never'
    WHEN bool_and(has_function_privilege(oid, 'EXECUTE')) THEN 'by message'
    ELSE 'by row'
END
FROM pg_catalog.pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = 'pg_logical_emit_message'
