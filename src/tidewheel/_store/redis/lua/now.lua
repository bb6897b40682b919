#!lua flags=allow-oom
-- The store's clock.
-- ask: nothing
-- gives: [schema, now]
return pack({ tonumber(call('HGET', KEYS[1], 'schema') or 0), clock() })
