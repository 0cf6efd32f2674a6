-- Let an API task depend on another one no more. If it waits, it is looked at again now.
--
-- KEYS[1]  dependencies of the task (HASH)   KEYS[2]  due tasks (ZSET: id by unix ms)   KEYS[3]  waiting tasks (ZSET)
-- ARGV[1]  prefix of dependents (SET)        ARGV[2]  task id    ARGV[3]  dependency id   ARGV[4]  now, unix ms
-- Returns  1, or 0 where there is no such dependency. O(log due).

--@ include set_aside.lua#require_type
--@ include api_dependency_add.lua#parent

for index, wanted in ipairs({'hash', 'zset', 'zset'}) do require_type(KEYS[index], wanted) end
local text = redis.call('HGET', KEYS[1], ARGV[3])
if not text then return 0 end
local parent = parent_in(text)
if parent then
  require_type(ARGV[1] .. parent, 'set')
  redis.call('SREM', ARGV[1] .. parent, ARGV[2])
end
redis.call('HDEL', KEYS[1], ARGV[3])
if redis.call('ZREM', KEYS[3], ARGV[2]) == 1 then redis.call('ZADD', KEYS[2], ARGV[4], ARGV[2]) end
return 1
