-- Bring the due work in line with the rules that hold now.
--
-- KEYS[1]  lease   KEYS[2]  due work (ZSET: "task" or "task:cohort" by unix ms)   KEYS[3]  their rules (HASH)
-- ARGV[1]  token   ARGV[2]  number of entries to remove   then: the entries to remove
-- then per entry to keep: member, rule (canonical JSON), first due instant under that rule in unix ms or empty
-- An entry whose rule is unchanged keeps its instant; a new or changed one starts at the given instant.
-- Returns  how many entries were set or removed. O(entries · log due).

--@ include lease.lua#lease

require_lease(KEYS[1], ARGV[1])
local changed, argument = 0, 3
for _ = 1, tonumber(ARGV[2]) do
  changed = changed + redis.call('ZREM', KEYS[2], ARGV[argument])
  redis.call('HDEL', KEYS[3], ARGV[argument])
  argument = argument + 1
end
while argument <= #ARGV do
  local member, rule, first = ARGV[argument], ARGV[argument + 1], ARGV[argument + 2]
  if redis.call('HGET', KEYS[3], member) ~= rule then
    redis.call('HSET', KEYS[3], member, rule)
    if first == '' then redis.call('ZREM', KEYS[2], member) else redis.call('ZADD', KEYS[2], first, member) end
    changed = changed + 1
  end
  argument = argument + 3
end
return changed
