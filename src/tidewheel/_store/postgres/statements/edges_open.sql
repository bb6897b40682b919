-- Which of these jobs wait for another that has not ended?
-- takes: ids
-- gives: their ids, each once
SELECT asked.id FROM unnest((SELECT $1::text[])) AS asked (id)
WHERE EXISTS (SELECT 1 FROM {schema}.edges WHERE edges.parent = asked.id AND edges.state IS NULL OFFSET 0)
