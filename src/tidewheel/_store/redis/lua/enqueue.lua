#!lua
-- Add jobs. Refused as a whole while memory is full: it is the one script without `allow-oom`.
-- ask: now or nil, jobs (a batch as `rows_of` has it, with the columns of `insert`, both in lib.lua)
-- gives: for each job false when it was inserted, else {id, state} of the job that holds its id or unique key
local now = clock(ask[1])
local answers = {}
for index, row in rows_of(ask[2]) do
    local holder = call('EXISTS', JOB .. row[1]) == 1 and row[1] or nil
    if not holder and row[11] then
        holder = call('HGET', HOLDERS, row[11]) or nil
        local head = holder and head_of(holder)
        if not head or head[UNIQUE] ~= row[11] then
            holder = nil  -- its row was damaged: a key must not be held for ever
        end
    end
    if holder then
        local head = head_of(holder)
        answers[index] = { holder, head and head[STATE] or 'discarded' }
    else
        insert(row, now)
        answers[index] = false
    end
end
flush()
save_seq()
ring()
return pack(answers)
