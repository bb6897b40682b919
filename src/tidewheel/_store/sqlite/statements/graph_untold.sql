-- Children that have ended, or are gone, and still have open edges: code that knew no graphs told nobody. It looks at some of
-- the first 10 000 open edges by chance, so that no sweep takes long: to count or to pass one costs a look at its row.
-- takes: at how many
-- gives: one JSON list of ids
SELECT json_group_array(DISTINCT child) FROM (
    SELECT child FROM tidewheel_edges INDEXED BY tidewheel_edges_open WHERE state IS NULL ORDER BY parent
    LIMIT ?1 OFFSET max(0, abs(random() % (?1 + (
        SELECT count(*) FROM (SELECT 1 FROM tidewheel_edges WHERE state IS NULL LIMIT 10000)
    ))) - ?1)
) WHERE NOT EXISTS (SELECT 1 FROM tidewheel_jobs WHERE id = child AND finished_at IS NULL)
