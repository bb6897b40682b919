#!lua flags=allow-oom
-- Store settings of queues.
-- ask: settings (each: name, paused?)
-- gives: nothing
for _, one in ipairs(ask[1]) do
    call('HSET', QUEUES, one[1], one[2] and '1' or '0')
end
hints.control, hints.work = true, true
ring()
return 'OK'
