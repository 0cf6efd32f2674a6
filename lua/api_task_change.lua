-- Change an API task, if it is still the one that was read: compare and set. Where its schedule changes with it, it must
-- not have run meanwhile either. Harmless when asked again.
--
-- KEYS[1]  all tasks (ZSET: id by when it was made, unix ms)   KEYS[2]  tasks by name (ZSET)
-- KEYS[3]  due tasks (ZSET: id by unix ms)                     KEYS[4]  waiting tasks (ZSET: id by unix ms)
-- KEYS[5]  the record (HASH)
-- ARGV[1]  prefix of lists   ARGV[2]  id   ARGV[3]  revision as it was read   ARGV[4]  new revision
-- ARGV[5]  the task as JSON  ARGV[6]  name   ARGV[7]  names of its lists
-- ARGV[8]  when it was made, unix ms: where it was lost from the list of all, it stands there again
--          only where its schedule changes with it:
-- ARGV[9]  status as it was read   ARGV[10]  when it was due, as it was read
-- ARGV[11] status   ARGV[12] when it is due, unix ms, or empty   ARGV[13] since when it is paused, unix ms, or empty
-- Returns  {"changed"}, {"stale", revision}, {"gone"} or {"read_only"}: it is a task of the file.
--          O(lists · log tasks in all).

--@ include set_aside.lua#require_type
--@ include api_task_create.lua#lists

for index, wanted in ipairs({'zset', 'zset', 'zset', 'zset', 'hash'}) do require_type(KEYS[index], wanted) end
local tasks, names, due, waiting, record = unpack(KEYS)
local prefix, id, doc, name, indexes = ARGV[1], ARGV[2], ARGV[5], ARGV[6], ARGV[7]
local known = redis.call('HMGET', record, 'rev', 'doc', 'name', 'indexes', 'status', 'source', 'next_at')
if not known[1] then return {'gone'} end
if known[6] == 'file' then return {'read_only'} end
if known[1] == ARGV[4] and known[2] == doc then return {'changed'} end
if known[1] ~= ARGV[3] then return {'stale', known[1]} end
local before = known[5]
if ARGV[9] and (before ~= ARGV[9] or (known[7] or '') ~= ARGV[10]) then return {'stale', known[1]} end

local status = ARGV[11] or before
require_lists(prefix, known[4], before)
require_lists(prefix, indexes, status)

redis.call('ZADD', tasks, 'NX', ARGV[8], id)
local created = redis.call('ZSCORE', tasks, id)
if known[4] ~= indexes or before ~= status then
  lists_leave(prefix, id, known[4], before)
  lists_enter(prefix, id, created, indexes, status)
end
if known[3] ~= name then
  redis.call('ZREM', names, name_entry(known[3], created, id))
  redis.call('ZADD', names, 0, name_entry(name, created, id))
end
redis.call('HSET', record, 'doc', doc, 'rev', ARGV[4], 'name', name, 'indexes', indexes, 'status', status)
if ARGV[9] then
  redis.call('HSET', record, 'next_at', ARGV[12], 'paused_at', ARGV[13])
  -- With an instant to come, the run that was to be its last is so no more.
  if ARGV[12] ~= '' then redis.call('HDEL', record, 'only_run') end
  redis.call('ZREM', waiting, id)
  if status == 'scheduled' and ARGV[12] ~= '' then
    redis.call('ZADD', due, ARGV[12], id)
  else
    redis.call('ZREM', due, id)
  end
end
return {'changed'}
