#!lua flags=allow-oom
-- The store's clock.
-- ask: nothing
-- gives: [schema, now]
return pack({ tonumber(meta[1] or LAYOUT), clock() })
