#!lua flags=allow-oom
-- uses: states, family, gate, rules, turns, calm, gates, withdraw, filter
-- Cancel, retry, run now or delete jobs.
-- ask: now or nil, action, ids, filter they must still match or nil, ids for jobs that tell of dead letters (parents of those
--      that are cancelled), columns of such a job
-- gives: [how many of those ids were used, a list: for each id [state before or nil, state after or nil, cancel requested?,
--        changed?]]; or [how many are needed, nil] when they may be too few: nothing was done, ask again
local now, action = clock(ask[1]), ask[2]
local matches = ask[4] and matcher(ask[4])
local answers = {}
supply.ids, supply.columns = ask[5], ask[6]
if action == 'cancel' or action == 'delete' then
    local most = family().most_told(family().awaited_of(ask[3]))
    if most > #ask[5] then
        return pack({ most, cjson.null })
    end
end

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
        withdraw(id, head, now)
        return { before, 'cancelled', false, true }
    elseif action == 'run_now' then
        if before ~= 'scheduled' and before ~= 'retryable' then
            return { before, before, false, false }
        end
        leave(id, head)
        head[RUN_AT] = now - lead_of(id)
        enter(id, head, 'available')
        save(id, head)
        return { before, 'available', false, true }
    end
    if not FINAL[before] or (head[UNIQUE] and call('HEXISTS', HOLDERS, head[UNIQUE]) == 1) then
        return { before, before, false, false }
    end
    local state = call('EXISTS', OPEN .. id) == 1 and 'parked' or 'available'
    call('HDEL', JOB .. id, 'r', 'p', 'e', 'u')
    leave(id, head)
    head[RUN_AT], head[ATTEMPT], head[CRASHES], head[FINISHED_AT] = state == 'parked' and now or now - lead_of(id), 0, 0, false
    enter(id, head, state)
    save(id, head)
    if state == 'parked' then
        call('HSET', JOB .. id, 'b', CHILDREN)
    end
    if head[UNIQUE] then
        call('HSET', HOLDERS, head[UNIQUE], id)
    end
    family().reopen(id)
    return { before, state, false, true }
end

for index, id in ipairs(ask[3]) do
    local head = head_of(id)
    if head and (not matches or matches(id, head)) then
        answers[index] = alter(id, head)
    else
        answers[index] = { head and head[STATE] or cjson.null, head and head[STATE] or cjson.null, false, false }
    end
end
tell_all(now)
gates().write()
flush()
save_seq()
ring()
return pack({ supply.used, answers })
