#!lua flags=no-writes
-- uses: filter
-- Look through a stretch of the jobs in the order of their enqueue. A stretch is short, so that others get their turn.
-- ask: filter, `all` or `dead` (the sorted set to look through), seq to go on behind or nil, newest first?,
--      rows to look at, jobs to find, leave out those asked to cancel?, whole jobs or only ids?
-- gives: a list of: seq of the last row looked at or "" when there is no more; the jobs found, whole or by id
local matches = matcher(ask[1])
local key, behind, newest_first, few, wanted = ROOT .. ask[2], ask[3], ask[4], ask[5], ask[6]
local found
if newest_first then
    local from = behind and ('(' .. format('%.0f', behind)) or '+inf'
    found = call('ZREVRANGEBYSCORE', key, from, '-inf', 'WITHSCORES', 'LIMIT', 0, few)
else
    local from = behind and ('(' .. format('%.0f', behind)) or '-inf'
    found = call('ZRANGEBYSCORE', key, from, '+inf', 'WITHSCORES', 'LIMIT', 0, few)
end
local answer, last = { '' }, ''
for index = 1, #found, 2 do
    local id = found[index]
    local head = head_of(id)
    last = found[index + 1]
    if head and not (ask[7] and head[CANCEL]) and matches(id, head) then
        answer[#answer + 1] = ask[8] and whole(id) or id
        if #answer > wanted then
            break
        end
    end
end
if #answer > wanted or #found == 2 * few then
    answer[1] = format('%.0f', tonumber(last))
end
return answer
