#!lua flags=allow-oom
-- uses: gate, rules, gates, filter
-- Cancel, retry, run now or delete jobs.
-- ask: now or nil, action, ids, filter they must still match or nil
-- gives: for each id [state before or nil, state after or nil, cancel requested?, changed?]
local now, action = clock(ask[1]), ask[2]
local matches = ask[4] and matcher(ask[4])
local answers = {}

local function alter(id, head)
    local before = head[STATE]
    if action == 'delete' then
        if before == 'running' then
            return { before, before, false, false }
        end
        gates().let_go(id, head, now)
        remove(id, head)
        return { before, cjson.null, false, true }
    elseif action == 'cancel' then
        if before == 'running' then
            local asked = head[CANCEL]
            head[CANCEL] = true
            save(id, head)
            hints.control = true
            return { before, before, true, not asked }
        elseif FINAL[before] then
            return { before, before, false, false }
        end
        gates().let_go(id, head, now)
        leave(id, head)
        head[FINISHED_AT], head[CANCEL] = now, false
        enter(id, head, 'cancelled')
        save(id, head)
        return { before, 'cancelled', false, true }
    elseif action == 'run_now' then
        if before ~= 'scheduled' and before ~= 'retryable' then
            return { before, before, false, false }
        end
        leave(id, head)
        head[RUN_AT] = now
        enter(id, head, 'available')
        save(id, head)
        return { before, 'available', false, true }
    end
    if not FINAL[before] or (head[UNIQUE] and call('HEXISTS', HOLDERS, head[UNIQUE]) == 1) then
        return { before, before, false, false }
    end
    leave(id, head)
    head[RUN_AT], head[ATTEMPT], head[CRASHES], head[FINISHED_AT] = now, 0, 0, false
    enter(id, head, 'available')
    save(id, head)
    call('HDEL', JOB .. id, 'r', 'p', 'e')
    if head[UNIQUE] then
        call('HSET', HOLDERS, head[UNIQUE], id)
    end
    return { before, 'available', false, true }
end

for index, id in ipairs(ask[3]) do
    local head = head_of(id)
    if head and (not matches or matches(id, head)) then
        answers[index] = alter(id, head)
    else
        answers[index] = { head and head[STATE] or cjson.null, head and head[STATE] or cjson.null, false, false }
    end
end
gates().write()
flush()
ring()
return pack(answers)
