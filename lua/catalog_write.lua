-- Write the task definitions that workers read. A removed task stays for its jobs in flight, and goes after a while.
--
-- KEYS[1]  lease   KEYS[2]  definitions (HASH: task id -> JSON)   KEYS[3]  revision (STRING)
-- KEYS[4]  removed tasks (HASH: task id -> unix ms)   KEYS[5]  name of the scheduler that wrote (STRING)
-- ARGV[1]  token   ARGV[2]  revision   ARGV[3]  milliseconds a removed task stays
-- ARGV[4]  what stands at the front of a removed task's JSON while its jobs are drained
-- ARGV[5]  1: jobs of removed tasks are drained, 0: they run
-- ARGV[6]  name of the scheduler
-- ARGV[7..] task id, JSON, task id, JSON, ...
-- Returns  how many definitions there are now. O(tasks).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type

require_lease(KEYS[1], ARGV[1])
require_type(KEYS[2], 'hash')
require_type(KEYS[4], 'hash')
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000

local function mark(task)
  local text = redis.call('HGET', KEYS[2], task)
  local marked = string.sub(text, 1, #ARGV[4]) == ARGV[4]
  if marked and ARGV[5] == '0' then
    redis.call('HSET', KEYS[2], task, '{' .. string.sub(text, #ARGV[4] + 1))
  elseif not marked and ARGV[5] == '1' then
    redis.call('HSET', KEYS[2], task, ARGV[4] .. string.sub(text, 2))
  end
end

local present = {}
for argument = 7, #ARGV, 2 do
  present[ARGV[argument]] = true
  redis.call('HSET', KEYS[2], ARGV[argument], ARGV[argument + 1])
  redis.call('HDEL', KEYS[4], ARGV[argument])
end
for _, task in ipairs(redis.call('HKEYS', KEYS[2])) do
  if not present[task] then
    -- What somebody else wrote there is no instant: then it counts as removed now.
    local since = tonumber(redis.call('HGET', KEYS[4], task))
    if not since then
      since = now
      redis.call('HSET', KEYS[4], task, now)
    end
    if now - since > tonumber(ARGV[3]) then
      redis.call('HDEL', KEYS[2], task)
      redis.call('HDEL', KEYS[4], task)
    else
      mark(task)
    end
  end
end
redis.call('SET', KEYS[3], ARGV[2])
redis.call('SET', KEYS[5], ARGV[6])
return redis.call('HLEN', KEYS[2])
