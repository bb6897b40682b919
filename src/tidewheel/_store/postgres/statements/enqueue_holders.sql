-- Who holds the id (it wins) or the unique key?
-- takes: ids, unique keys
-- gives: (id asked, unique key asked, id of the holder, its state) of those that are held
SELECT asked.id, asked.unique_key, coalesce(same.id, holder.id), coalesce(same.state, holder.state)
FROM unnest((SELECT $1::text[]), (SELECT $2::text[])) AS asked (id, unique_key)
LEFT JOIN {schema}.jobs AS same ON same.id = asked.id
LEFT JOIN {schema}.jobs AS holder ON holder.unique_key = asked.unique_key AND holder.{live}
WHERE same.id IS NOT NULL OR holder.id IS NOT NULL
