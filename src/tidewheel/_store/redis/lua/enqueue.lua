#!lua
-- uses: states
-- Add jobs that ask nobody (else: enqueue_asking.lua). Refused as a whole while memory is full: it is the one script without `allow-oom`.
-- ask: now or nil, jobs (a batch as `rows_of` has it, with the columns of `insert`, both in lib.lua)
-- gives: for each job false when it was inserted, else {id, state} of the job that holds its id or unique key
local now = clock(ask[1], true)
local answers = {}
for index, row in rows_of(ask[2]) do
    local holder = clash(row)
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
