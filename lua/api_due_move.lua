-- Move API tasks to another instant. A task whose record was read is due then, if it is still the one that was read
-- (compare and set). Of one that cannot be read only the entry is put off, never brought forward.
--
-- KEYS[1]  lease   KEYS[2]  due tasks (ZSET: id by unix ms)   KEYS[3..] the record of each (HASH)
-- ARGV[1]  token
-- ARGV[2..] per task: id, instant (unix ms), then revision and next instant (unix ms) as they were read, or both empty
-- Returns  how many have moved; one without an entry has not. Harmless when asked again. O(tasks · log due tasks).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type

local PER_TASK = 4

require_lease(KEYS[1], ARGV[1])
require_type(KEYS[2], 'zset')
for index = 3, #KEYS do require_type(KEYS[index], 'hash') end

local moved = 0
for index = 3, #KEYS do
  local id, instant, revision, next_at = unpack(ARGV, 2 + (index - 3) * PER_TASK, 1 + (index - 2) * PER_TASK)
  if revision == '' then
    moved = moved + redis.call('ZADD', KEYS[2], 'XX', 'GT', 'CH', instant, id)
  else
    local known = redis.call('HMGET', KEYS[index], 'rev', 'next_at')
    if known[1] == revision and tonumber(known[2] or '') == tonumber(next_at) and redis.call('ZSCORE', KEYS[2], id) then
      redis.call('HSET', KEYS[index], 'next_at', instant)
      redis.call('ZADD', KEYS[2], instant, id)
      moved = moved + 1
    end
  end
end
return moved
