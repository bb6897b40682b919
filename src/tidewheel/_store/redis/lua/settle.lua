#!lua flags=allow-oom
-- uses: states, family, gate, rules, turns, calm, gates
-- Write how attempts ended. `ending_of` in _model/transition.py has the decisions.
-- ask: now or nil, settlements (a batch as `rows_of` in lib.lua has it), ids for jobs that tell of dead letters, columns of such a job
--      columns of a settlement: id, epoch, word, after, result, error, reason, progress, log lines, arguments of the job that tells,
--      limits to hold
-- gives: [one letter a settlement, a(ccepted) or s(tale); how many of the ids were used]; or ["", how many are needed] when
--        they may be too few: nothing was done, ask again
local now, answers, ends = clock(ask[1]), {}, {}
local completed, flows, limited = {}, {}, 0  -- ids, flows and number of those that completed and have limits
local FAILURES = { retry = true, discard = true }  -- `ended_by` in _model/usher.py
supply.ids, supply.columns = ask[3], ask[4]

-- Those that wait for what fails here may be given up, too.
if some_are_awaited() then
    local failing, most = {}, 0
    for _, one in rows_of(ask[2]) do
        if one[3] ~= 'complete' then
            failing[#failing + 1] = one[1]
            most = most + (one[3] == 'discard' and 1 or 0)
        end
    end
    most = most + family().most_told(family().awaited_of(failing))
    if most > #ask[3] then
        return pack({ '', most })
    end
end

for index, one in rows_of(ask[2]) do
    local id, word = one[1], one[3]
    local key = JOB .. id
    local row = call('HMGET', key, 's', 'h', 'g')
    local head = row[1] and row[2] and read_head(row[1], row[2])
    if not head or head[EPOCH] ~= one[2] then
        answers[index] = 's'
    elseif head[STATE] ~= 'running' then
        answers[index] = 'a'
    else
        answers[index] = 'a'
        local state, err, why, attempt, run_at = 'completed', one[6], one[6] or one[7], head[ATTEMPT], head[RUN_AT]
        if word == 'complete' then
            err, why = nil, nil
        elseif word == 'discard' then
            state = 'discarded'
        elseif word == 'cancel' or head[CANCEL] then
            state, word = 'cancelled', 'cancel'
        elseif word == 'retry' then
            state, run_at = 'retryable', now + one[4]
        elseif word == 'snooze' then
            state, run_at, attempt = 'scheduled', now + one[4], attempt - 1
        else
            state, attempt = 'available', attempt - 1
        end
        add_logs(id, one[9])
        if word ~= 'complete' then
            record(id, head, now, word, why)
        end
        if row[3] then
            if word == 'complete' then
                limited = limited + 1
                completed[limited], flows[limited] = id, row[3]
            else
                ends[#ends + 1] = { id, row[3], FINAL[state], one[11], now + (one[4] or 0), FAILURES[one[3]] }
            end
        end
        leave(id, head)
        head[ATTEMPT], head[RUN_AT], head[LEASE], head[CANCEL] = attempt, run_at, false, false
        head[FINISHED_AT] = FINAL[state] and now or false
        enter(id, head, state)
        if word == 'complete' then
            call('HSET', key, 'h', packed_head(head), 'r', one[5])
        elseif err then
            call('HSET', key, 'h', packed_head(head), 'e', pack(err))
        else
            call('HSET', key, 'h', packed_head(head))
        end
        if one[8] then
            call('HSET', key, 'p', one[8])
        end
        if state == 'discarded' then
            family().tell_of_dead(id, head, now, one[10])
        end
    end
end
if #ends > 0 then
    gates().give_back(ends, now)
end
if limited > 0 then
    local calm = calm_gates()
    calm.fetch(flows)
    for place = 1, limited do
        if not calm.give(flows[place]) then
            gates().completed(completed[place], flows[place], now)
        end
    end
end
tell_all(now)
flush()
look_at_gates(now)
save_seq()
ring()
return pack({ table.concat(answers), supply.used })
