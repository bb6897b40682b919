-- Jobs are gone that gates had let into the line, or that had their turn there: let the next sweep look at these.
-- takes: now or null, gates that had let some in, seqs of jobs that give up their turn, gate of each
-- gives: how many gates have jobs waiting
-- locks: their rows, in the order of their keys
WITH woken AS (
    UPDATE {schema}.gates
    SET opens_at = CASE WHEN waiting THEN coalesce($1::bigint, {clock}) ELSE opens_at END,
        holder = CASE WHEN holder = ANY ($3::bigint[]) THEN NULL ELSE holder END
    WHERE key = ANY (ARRAY(
        SELECT key FROM {schema}.gates
        WHERE key = ANY ($2::text[] || $4::text[]) AND (waiting AND key = ANY ($2::text[]) OR holder = ANY ($3::bigint[]))
        ORDER BY key FOR UPDATE
    ))
    RETURNING waiting
)
SELECT count(*) FILTER (WHERE waiting) FROM woken
