-- Bring the due work in line with the rules that hold now.
--
-- KEYS[1]  lease   KEYS[2]  due work (ZSET: "task" or "task:cohort" by unix ms)   KEYS[3]  their rules (HASH)
-- KEYS[4]  held due work (ZSET)   KEYS[5]  instants of the held (HASH)   KEYS[6]  those that are never due again (SET)
-- ARGV[1]  token   ARGV[2]  number of entries to remove   then: the entries to remove
-- then per entry to keep: member, rule (canonical JSON), first due instant under that rule in unix ms or empty
-- An entry whose rule is unchanged keeps its instant; a new, changed or lost one starts at the given instant.
-- Without an instant it is noted as never due again, so that nobody takes it for lost.
-- Returns  how many entries were set or removed, then each that lost its instant, and that instant: member, unix ms, ...
-- O(entries · log due).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type

require_lease(KEYS[1], ARGV[1])
for index, wanted in ipairs({'zset', 'hash', 'zset', 'hash', 'set'}) do
  require_type(KEYS[index + 1], wanted)
end

-- how many changed, then what was dropped
local answer = {0}

local function remove(member)
  local instant = redis.call('ZSCORE', KEYS[2], member)
    or string.match(redis.call('HGET', KEYS[5], member) or '', '^%d+')
  if instant then
    answer[#answer + 1] = member
    answer[#answer + 1] = instant
  end
  redis.call('ZREM', KEYS[4], member)
  redis.call('SREM', KEYS[6], member)
  return redis.call('ZREM', KEYS[2], member) + redis.call('HDEL', KEYS[5], member)
end

local function has_none(member)
  return not redis.call('ZSCORE', KEYS[2], member) and redis.call('HEXISTS', KEYS[5], member) == 0
end

local function set(member, first)
  if first == '' then
    redis.call('SADD', KEYS[6], member)
  else
    redis.call('ZADD', KEYS[2], first, member)
  end
end

local changed, argument = 0, 3
for _ = 1, tonumber(ARGV[2]) do
  changed = changed + remove(ARGV[argument])
  redis.call('HDEL', KEYS[3], ARGV[argument])
  argument = argument + 1
end
while argument <= #ARGV do
  local member, rule, first = ARGV[argument], ARGV[argument + 1], ARGV[argument + 2]
  if redis.call('HGET', KEYS[3], member) ~= rule or (first ~= '' and has_none(member)) then
    redis.call('HSET', KEYS[3], member, rule)
    remove(member)
    set(member, first)
    changed = changed + 1
  elseif has_none(member) then
    set(member, first)
  end
  argument = argument + 3
end
answer[1] = changed
return answer
