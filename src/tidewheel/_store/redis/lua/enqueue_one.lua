#!lua
-- uses: states
-- Add one plain job: what enqueue.lua does (and a test compares), without the tables and functions that only a batch needs.
-- Somebody waits for it to start, and a server makes every function anew whenever a script runs.
-- ask: now or nil, the columns of `insert` in states.lua; unique_key and those behind on_dead are nil
-- gives: as enqueue.lua, a list of one
local now, row = clock(ask[1], true), ask[2]
local id, queue, kind = row[1], row[3], row[2]
if call('EXISTS', JOB .. id) == 1 then
    local parts = call('HMGET', JOB .. id, 's', 'h')
    local head = { pcall(cmsgpack.unpack, (parts[1] or '') .. (parts[2] or '')) }
    return pack({ { id, head[1] and #head > LEASE and head[1 + STATE] or 'discarded' } })
end
local seq, run_at = tonumber(meta[5] or 0) + 1, row[7] or now + row[6]
local due = tonumber(run_at)
local state = due > now and 'scheduled' or 'available'
local head = {
    seq, queue, kind, row[5], row[8], row[9], row[10], now, false, row[15] or false, row[16] or false, row[17] or false,
    state, 0, 0, 0, run_at, false, false, false, false,
}
local fixed, varying = pack(unpack(head, 1, ON_DEAD)), pack(unpack(head, STATE, LEASE))
if row[12] or row[13] or row[14] then
    call('HSET', JOB .. id, 'h', varying, 's', fixed, 'a', row[4], 'x', pack(row[12], row[13], row[14]))
else
    call('HSET', JOB .. id, 'h', varying, 's', fixed, 'a', row[4])
end
call('ZADD', ALL, seq, id)
if state == 'available' then
    call('ZADD', ROOT .. 'ready:' .. #queue .. ':' .. queue .. ':' .. kind, 0, turn(head) .. id)
    call('SADD', ROOT .. 'kinds:' .. queue, kind)
else
    call('ZADD', DUE, due, format('%016d', seq) .. 's' .. id)
end
call('HINCRBY', COUNTS, state .. ':' .. queue, 1)
if unsaved_clock then
    call('HSET', KEYS[1], 'seq', format('%d', seq), 'clock', format('%d', now))
else
    call('HSET', KEYS[1], 'seq', format('%d', seq))
end
call('PUBLISH', ROOT .. (state == 'available' and 'hint:work' or 'hint:due'), '')
return pack({ false })
