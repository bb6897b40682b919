#!lua flags=allow-oom
-- Write how attempts ended. `ending_of` in _model/transition.py has the decisions.
-- ask: now or nil, settlements, ids for jobs that tell of dead letters, columns of such a job
--      a settlement, msgpack values one behind the other: id, epoch, word, after, result, error, reason, progress, log lines, arguments of the job that tells
-- gives: [one letter a settlement, a(ccepted) or s(tale); how many of the ids were used]
local now, new_ids, told = clock(ask[1]), ask[3], ask[4]
local answers, used = {}, 0

for index, packed in ipairs(ask[2]) do
    local one = { cmsgpack.unpack(packed) }
    local id, word = one[1], one[3]
    local head = head_of(id)
    if not head or head[EPOCH] ~= one[2] then
        answers[index] = 's'
    elseif head[STATE] ~= 'running' then
        answers[index] = 'a'
    else
        answers[index] = 'a'
        local fields = {}
        local state, err, why, attempt, run_at = 'completed', one[6], one[6] or one[7], head[ATTEMPT], head[RUN_AT]
        if word == 'complete' then
            fields[1], fields[2] = 'r', one[5]
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
        if err then
            fields[#fields + 1] = 'e'
            fields[#fields + 1] = pack(err)
        end
        if one[8] then
            fields[#fields + 1] = 'p'
            fields[#fields + 1] = one[8]
        end
        add_logs(id, one[9])
        if word ~= 'complete' then
            record(id, head, now, word, why)
        end
        leave(id, head)
        head[ATTEMPT], head[RUN_AT], head[LEASE], head[CANCEL] = attempt, run_at, false, false
        head[FINISHED_AT] = FINAL[state] and now or false
        enter(id, head, state)
        save(id, head, unpack(fields))
        if state == 'discarded' and head[ON_DEAD] then
            used = used + 1
            insert_told(head, id, new_ids[used], one[10], told, now)
        end
    end
end
flush()
save_seq()
ring()
return pack({ table.concat(answers), used })
