-- Write down new API tasks: each with its record, the lists that it stands in, and when it is due. All or nothing of
-- each; and nothing of any where a key holds another type. Harmless when asked again.
--
-- KEYS[1]  all tasks (ZSET: id by when it was made, unix ms)   KEYS[2]  tasks by name (ZSET)
-- KEYS[3]  due tasks (ZSET: id by unix ms)                     KEYS[4..] the record of each (HASH)
-- ARGV[1]  prefix of lists
-- ARGV[2..] per task: id, when it was made (unix ms), name, names of its lists, status, when it is due (unix ms or
--          empty), since when it is paused (unix ms or empty), the task as JSON
-- Returns  per task 1, or 0 where another one has its id. O(tasks · lists · log tasks in all).

--@ include set_aside.lua#require_type

-- [lists
-- The lists of API tasks, by what a list of them can be asked for: ZSETs, id by when the task was made. The record's
-- field `indexes` has the names of those that follow from the task's definition, one on a line and that of its priority
-- first; two more follow from its status.
local function lists_of(indexes, status)
  local names = {}
  for name in string.gmatch(indexes, '[^\n]+') do names[#names + 1] = name end
  names[#names + 1] = 'status:' .. status
  names[#names + 1] = 'status:' .. status .. ':' .. names[1]
  return names
end

-- Among names that are equal the latest task comes first. No name holds a NUL.
local function name_entry(name, created, id)
  return name .. '\0' .. string.format('%015.0f', 999999999999999 - tonumber(created)) .. id
end

local function lists_enter(prefix, id, created, indexes, status)
  for _, name in ipairs(lists_of(indexes, status)) do redis.call('ZADD', prefix .. name, created, id) end
end

local function lists_leave(prefix, id, indexes, status)
  for _, name in ipairs(lists_of(indexes, status)) do redis.call('ZREM', prefix .. name, id) end
end

-- Many tasks stand in the same lists: each is looked at once.
local lists_seen = {}
local function require_lists(prefix, indexes, status)
  for _, name in ipairs(lists_of(indexes, status)) do
    if not lists_seen[name] then
      require_type(prefix .. name, 'zset')
      lists_seen[name] = true
    end
  end
end
-- lists]

-- [status
-- Give the task at `record` another status, in the record and in the lists that follow from it. `tasks` is the list of
-- all; where the task was lost from it, whoever puts it back there puts it into the lists of its new status as well. A
-- list that holds another type must not keep a job from its end: it is left as it is.
local function change_status(record, tasks, prefix, id, status)
  local known = redis.call('HMGET', record, 'status', 'indexes')
  if not known[1] or not known[2] or known[1] == status then return end
  local priority = string.match(known[2], '^[^\n]+')
  for _, name in ipairs({'status:' .. known[1], 'status:' .. known[1] .. ':' .. priority}) do
    redis.pcall('ZREM', prefix .. name, id)
  end
  local created = redis.pcall('ZSCORE', tasks, id)
  if type(created) == 'string' then
    for _, name in ipairs({'status:' .. status, 'status:' .. status .. ':' .. priority}) do
      redis.pcall('ZADD', prefix .. name, created, id)
    end
  end
  redis.call('HSET', record, 'status', status)
end
-- status]

local PER_TASK = 8

local function argument(index, number)
  return ARGV[1 + (index - 4) * PER_TASK + number]
end

for _, key in ipairs({KEYS[1], KEYS[2], KEYS[3]}) do require_type(key, 'zset') end
for index = 4, #KEYS do
  require_type(KEYS[index], 'hash')
  require_lists(ARGV[1], argument(index, 4), argument(index, 5))
end

local answer = {}
for index = 4, #KEYS do
  local record = KEYS[index]
  local id, created, name, indexes = argument(index, 1), argument(index, 2), argument(index, 3), argument(index, 4)
  local status, due, paused, doc = argument(index, 5), argument(index, 6), argument(index, 7), argument(index, 8)
  if redis.call('EXISTS', record) == 1 then
    -- The very same document is that of this question, asked before.
    answer[#answer + 1] = redis.call('HGET', record, 'doc') == doc and 1 or 0
  else
    redis.call('HSET', record, 'doc', doc, 'rev', 1, 'name', name, 'indexes', indexes, 'status', status, 'next_at', due)
    if paused ~= '' then redis.call('HSET', record, 'paused_at', paused) end
    redis.call('ZADD', KEYS[1], created, id)
    redis.call('ZADD', KEYS[2], 0, name_entry(name, created, id))
    lists_enter(ARGV[1], id, created, indexes, status)
    if status == 'scheduled' and due ~= '' then redis.call('ZADD', KEYS[3], due, id) end
    answer[#answer + 1] = 1
  end
end
return answer
