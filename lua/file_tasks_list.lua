-- Let the API's lists show the task types of tasks.yaml as they are now: write those that are new or have changed, and
-- take out those that are gone.
--
-- KEYS[1]  lease   KEYS[2]  all tasks (ZSET: id by when it was made, unix ms)   KEYS[3]  tasks by name (ZSET)
-- KEYS[4]  task types that are paused through the API (SET)
-- KEYS[5..] the record of each (HASH): first of those that are gone, then of those to write
-- ARGV[1]  token   ARGV[2]  prefix of lists   ARGV[3]  how many are gone, then their ids
-- then per task to write: id, when it was made (unix ms), revision as it was read or empty, new revision, name, names of
--          its lists, status, 1: it is off in the file, or 0; the task as JSON
-- Returns  how many were left as they are, for they were changed since they were read, or the API has a task of that id.
--          O(tasks · lists · log tasks in all).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type
--@ include api_task_create.lua#lists

local PER_TASK = 9
local tasks, names, all_paused, prefix = KEYS[2], KEYS[3], KEYS[4], ARGV[2]
local gone = tonumber(ARGV[3])

local function leave(record, id)
  local known = redis.call('HMGET', record, 'name', 'indexes', 'status')
  local created = redis.call('ZSCORE', tasks, id)
  if known[2] and known[3] then lists_leave(prefix, id, known[2], known[3]) end
  if known[1] and created then redis.call('ZREM', names, name_entry(known[1], created, id)) end
end

local function write(record, first)
  local id, created, read, revision, name, indexes, status, off, doc = unpack(ARGV, first, first + PER_TASK - 1)
  local known = redis.call('HMGET', record, 'rev', 'source', 'status')
  if (known[1] or '') ~= read or (known[1] and known[2] ~= 'file') then return 1 end
  -- It was paused, or let go on, since the leader looked.
  local is_paused = redis.call('SISMEMBER', all_paused, id) == 1
  if off == '0' and is_paused ~= (status == 'paused') then return 1 end
  leave(record, id)
  redis.call('HSET', record, 'doc', doc, 'rev', revision, 'name', name, 'indexes', indexes, 'status', status,
    'source', 'file', 'off_in_file', off)
  if status ~= 'paused' or off == '1' then redis.call('HDEL', record, 'paused_at') end
  redis.call('ZADD', tasks, created, id)
  redis.call('ZADD', names, 0, name_entry(name, created, id))
  lists_enter(prefix, id, created, indexes, status)
  return 0
end

require_lease(KEYS[1], ARGV[1])
require_type(tasks, 'zset')
require_type(names, 'zset')
require_type(all_paused, 'set')
for index = 5, #KEYS do
  require_type(KEYS[index], 'hash')
  local known = redis.call('HMGET', KEYS[index], 'indexes', 'status')
  if known[1] and known[2] then require_lists(prefix, known[1], known[2]) end
  local first = 4 + gone + (index - 5 - gone) * PER_TASK
  if index >= 5 + gone then require_lists(prefix, ARGV[first + 5], ARGV[first + 6]) end
end
local left = 0
for index = 5, #KEYS do
  local record = KEYS[index]
  if index >= 5 + gone then
    left = left + write(record, 4 + gone + (index - 5 - gone) * PER_TASK)
  elseif redis.call('HGET', record, 'source') == 'file' then
    local id = ARGV[index - 1]
    leave(record, id)
    redis.call('ZREM', tasks, id)
    redis.call('UNLINK', record)
  end
end
return left
