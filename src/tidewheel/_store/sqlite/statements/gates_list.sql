-- The first gates of a limit.
-- takes: limit, how many
-- gives: one JSON list of keys
SELECT json_group_array(key) FROM (
    SELECT key FROM tidewheel_gates WHERE key = ?1
    UNION ALL
    SELECT key FROM tidewheel_gates WHERE key > ?1 || ':' AND key < ?1 || ';'
    ORDER BY key LIMIT ?2
)
