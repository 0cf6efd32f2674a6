-- Delete API tasks that no other one depends on: their records, what they stand in, and what they depend on. Tasks that
-- depend on each other go together, whatever their order. Executions and counts stay for a while.
--
-- KEYS[1]  all tasks (ZSET: id by when it was made, unix ms)   KEYS[2]  tasks by name (ZSET)
-- KEYS[3]  due tasks (ZSET)   KEYS[4]  waiting tasks (ZSET)
-- ARGV[1]  prefix of lists    ARGV[2]  prefix of records       ARGV[3]  prefix of dependencies (HASH)
-- ARGV[4]  prefix of dependents (SET)                          ARGV[5]  prefix of executions (ZSET)
-- ARGV[6]  prefix of counts (HASH)                             ARGV[7]  milliseconds that these two are kept
-- ARGV[8]  how many dependents are named at most               ARGV[9..] ids, which stand in keys as they are
-- Returns  per task {"deleted"}, {"gone"}, {"read_only"}: it is a task of the file, or
--          {"dependents", how many, id, name, ...}. O(tasks · (lists · log tasks in all + dependencies)).

--@ include set_aside.lua#require_type
--@ include api_task_create.lua#lists
--@ include api_dependency_add.lua#parent

local prefix = ARGV[1]
local FIRST = 9

local function record_of(id) return ARGV[2] .. id end
local function dependencies_of(id) return ARGV[3] .. id end
local function dependents_of(id) return ARGV[4] .. id end

local function require_types(id)
  require_type(record_of(id), 'hash')
  require_type(dependencies_of(id), 'hash')
  require_type(dependents_of(id), 'set')
  local known = redis.call('HMGET', record_of(id), 'indexes', 'status')
  if known[1] and known[2] then require_lists(prefix, known[1], known[2]) end
  for _, text in ipairs(redis.call('HVALS', dependencies_of(id))) do
    local parent = parent_in(text)
    if parent then require_type(dependents_of(parent), 'set') end
  end
end

-- A dependent that is itself gone was removed by hand: it must not hold the other one for ever.
local function has_dependents(id)
  for _, member in ipairs(redis.call('SRANDMEMBER', dependents_of(id), ARGV[8])) do
    if redis.call('EXISTS', record_of(member)) == 0 then redis.call('SREM', dependents_of(id), member) end
  end
  return redis.call('EXISTS', dependents_of(id)) == 1
end

local function named_dependents(id)
  local members = redis.call('SRANDMEMBER', dependents_of(id), ARGV[8])
  local answer = {'dependents', redis.call('SCARD', dependents_of(id))}
  table.sort(members)
  for _, member in ipairs(members) do
    answer[#answer + 1] = member
    answer[#answer + 1] = redis.call('HGET', record_of(member), 'name') or ''
  end
  return answer
end

-- Where the task was lost from the list of all, nothing but its id tells its entry from others with its name.
local function name_leave(name, id)
  local created = redis.call('ZSCORE', KEYS[1], id)
  if created then
    redis.call('ZREM', KEYS[2], name_entry(name, created, id))
    return
  end
  local before_id = #name_entry(name, 0, '')
  for _, entry in ipairs(redis.call('ZRANGE', KEYS[2], '[' .. name .. '\0', '(' .. name .. '\1', 'BYLEX')) do
    if string.sub(entry, before_id + 1) == id then redis.call('ZREM', KEYS[2], entry) end
  end
end

-- Return which tasks it depended on.
local function delete(id, known)
  if known[3] then name_leave(known[3], id) end
  for _, key in ipairs({KEYS[1], KEYS[3], KEYS[4]}) do redis.call('ZREM', key, id) end
  if known[1] and known[2] then lists_leave(prefix, id, known[1], known[2]) end
  local parents = {}
  for _, text in ipairs(redis.call('HVALS', dependencies_of(id))) do
    local parent = parent_in(text)
    if parent then
      redis.call('SREM', dependents_of(parent), id)
      parents[#parents + 1] = parent
    end
  end
  redis.call('UNLINK', record_of(id), dependencies_of(id))
  redis.call('PEXPIRE', ARGV[5] .. id, ARGV[7])
  redis.call('PEXPIRE', ARGV[6] .. id, ARGV[7])
  return parents
end

for _, key in ipairs(KEYS) do require_type(key, 'zset') end
for index = FIRST, #ARGV do require_types(ARGV[index]) end

local outcome, blocked = {}, {}
local open = {}
for index = #ARGV, FIRST, -1 do open[#open + 1] = ARGV[index] end
while #open > 0 do
  local id = table.remove(open)
  local known = redis.call('HMGET', record_of(id), 'indexes', 'status', 'name', 'source')
  if outcome[id] then
    -- It stands there twice.
  elseif redis.call('EXISTS', record_of(id)) == 0 then
    outcome[id] = 'gone'
  elseif known[4] == 'file' then
    outcome[id] = 'read_only'
  elseif has_dependents(id) then
    blocked[id] = true
  else
    outcome[id] = 'deleted'
    blocked[id] = nil
    for _, parent in ipairs(delete(id, known)) do
      if blocked[parent] then open[#open + 1] = parent end
    end
  end
end

local answer = {}
for index = FIRST, #ARGV do
  local id = ARGV[index]
  answer[#answer + 1] = outcome[id] and {outcome[id]} or named_dependents(id)
end
return answer
