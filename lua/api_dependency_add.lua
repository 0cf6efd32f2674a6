-- Let an API task depend on another one, unless they would then wait for each other.
--
-- KEYS[1]  record of the task (HASH)   KEYS[2]  record of the other one (HASH)
-- KEYS[3]  dependencies of the task (HASH: id -> JSON with `on`, `type`, `created_at`)
-- KEYS[4]  dependents of the other one (SET)
-- ARGV[1]  prefix of dependencies      ARGV[2]  task id          ARGV[3]  id of the other one
-- ARGV[4]  dependency id               ARGV[5]  dependency as JSON
-- ARGV[6]  dependencies a task may have at most
-- ARGV[7]  dependencies that are looked at in search of a cycle at most
-- ARGV[8]  tasks that may depend on one at most: its end looks at each
-- Returns  {"added"}; {"gone", id}: there is no such task; {"file", id}: it is one of the file; {"exists", dependency
--          id}: it depends on that task already; {"cycle", id, ...}: from the task over the other one back to it;
--          {"too_many"}; {"too_many_dependents"}: of the other one; {"too_wide"}: the other one depends on too many to
--          look at.
--          Harmless when asked again. O(what the other one depends on, up to ARGV[7]).

--@ include set_aside.lua#require_type

-- [parent
-- What a dependency waits for; nil where another hand wrote it.
local function parent_in(text)
  local ok, dependency = pcall(cjson.decode, text)
  return ok and type(dependency) == 'table' and type(dependency.on) == 'string' and dependency.on or nil
end
-- parent]

local child, parent = ARGV[2], ARGV[3]

local left_to_search = tonumber(ARGV[7])

-- What `id` depends on; nil where that is more than is left to search.
local function parents_of(id)
  local key = ARGV[1] .. id
  require_type(key, 'hash')
  left_to_search = left_to_search - redis.call('HLEN', key)
  if left_to_search < 0 then return nil end
  local parents = {}
  for _, text in ipairs(redis.call('HVALS', key)) do parents[#parents + 1] = parent_in(text) end
  return parents
end

-- From `parent` along what each depends on until `child` is met: return the way back from there as a list, or nil; and
-- whether the search was given up.
local function way_to_child()
  local came_from, open, next_open = {[parent] = parent}, {parent}, 1
  while open[next_open] do
    local id = open[next_open]
    next_open = next_open + 1
    if id == child then
      local back = {child}
      while id ~= parent do
        id = came_from[id]
        back[#back + 1] = id
      end
      return back, false
    end
    local parents = parents_of(id)
    if not parents then return nil, true end
    for _, above in ipairs(parents) do
      if not came_from[above] then
        came_from[above] = id
        open[#open + 1] = above
      end
    end
  end
  return nil, false
end

for index, wanted in ipairs({'hash', 'hash', 'hash', 'set'}) do require_type(KEYS[index], wanted) end
if redis.call('HGET', KEYS[3], ARGV[4]) == ARGV[5] then return {'added'} end
for index, id in ipairs({child, parent}) do
  if redis.call('EXISTS', KEYS[index]) == 0 then return {'gone', id} end
  if redis.call('HGET', KEYS[index], 'source') == 'file' then return {'file', id} end
end
if redis.call('HLEN', KEYS[3]) > tonumber(ARGV[6]) then return {'too_many'} end
local known = redis.call('HGETALL', KEYS[3])
for index = 1, #known, 2 do
  if parent_in(known[index + 1]) == parent then return {'exists', known[index]} end
end
if #known / 2 >= tonumber(ARGV[6]) then return {'too_many'} end
if redis.call('SCARD', KEYS[4]) >= tonumber(ARGV[8]) then return {'too_many_dependents'} end
local back, given_up = way_to_child()
if given_up then return {'too_wide'} end
if back then
  -- Not by unpack, which ends at some thousand.
  local answer = {'cycle', child}
  for index = #back, 1, -1 do answer[#answer + 1] = back[index] end
  return answer
end
redis.call('HSET', KEYS[3], ARGV[4], ARGV[5])
redis.call('SADD', KEYS[4], child)
return {'added'}
