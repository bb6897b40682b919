#!lua flags=no-writes
-- A job and its past.
-- ask: id
-- gives: nil when there is none, else {the whole job, {attempt records}, {log lines}}
local id = ask[1]
local job = whole(id)
if not job then
    return false
end
return { job, call('LRANGE', ATTEMPTS .. id, 0, -1), call('LRANGE', LOGS .. id, 0, -1) }
