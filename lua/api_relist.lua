-- Put back what was lost of the lists of API tasks: let each of these tasks stand in all lists that its record names.
--
-- KEYS[1]  lease   KEYS[2]  all tasks (ZSET: id by when it was made, unix ms)   KEYS[3]  tasks by name (ZSET)
-- ARGV[1]  token   ARGV[2]  prefix of lists   ARGV[3]  prefix of records
-- ARGV[4..] per task: id, when it was made (unix ms) in case it does not stand among all tasks; or empty, where nobody
--          has looked it up
-- Returns  {how many entries were put back, then the ids for which that is needed}. Harmless when asked again.
--          O(tasks · lists · log tasks in all).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type
--@ include api_task_create.lua#lists

require_lease(KEYS[1], ARGV[1])
local tasks, names, prefix = KEYS[2], KEYS[3], ARGV[2]
require_type(tasks, 'zset')
require_type(names, 'zset')
local answer = {0}

local function put_back(key, score, entry) answer[1] = answer[1] + redis.call('ZADD', key, 'NX', score, entry) end

for index = 4, #ARGV, 2 do
  local id = ARGV[index]
  -- What another hand wrote there stands in no list.
  local known = redis.pcall('HMGET', ARGV[3] .. id, 'name', 'indexes', 'status')
  if not known.err and known[1] and known[2] and known[3] then
    local created = redis.call('ZSCORE', tasks, id) or ARGV[index + 1]
    if created == '' then
      answer[#answer + 1] = id
    else
      require_lists(prefix, known[2], known[3])
      put_back(tasks, created, id)
      put_back(names, 0, name_entry(known[1], created, id))
      for _, name in ipairs(lists_of(known[2], known[3])) do put_back(prefix .. name, created, id) end
    end
  end
end
return answer
