#!lua flags=allow-oom
-- uses: states
-- Say that a worker lives, or goodbye; extend its leases, write progress and log lines.
-- ask: now or nil, worker id, worker (JSON; nil: it stops), lease, beats (each: id, epoch, progress or nil, log lines)
-- gives: one letter a beat: e(xtended), c(ancel), l(ost)
local now, worker, lease = clock(ask[1]), ask[2], ask[4]
if ask[3] then
    call('HSET', ROOT .. 'workers', worker, ask[3])
    call('ZADD', ROOT .. 'seen', now, worker)
else
    call('HDEL', ROOT .. 'workers', worker)
    call('ZREM', ROOT .. 'seen', worker)
end
local answers = {}
for index, one in ipairs(ask[5]) do
    local id = one[1]
    local head = head_of(id)
    if head and head[STATE] == 'running' and head[EPOCH] == one[2] then
        head[LEASE] = now + lease
        add(LEASES, head[LEASE], id)
        if one[3] then
            save(id, head, 'p', one[3])
        else
            save(id, head)
        end
        add_logs(id, one[4])
        answers[index] = head[CANCEL] and 'c' or 'e'
    else
        answers[index] = 'l'
    end
end
flush()
return table.concat(answers)
