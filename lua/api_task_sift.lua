-- Of a piece of a list of API tasks, those that stand in some other lists as well.
--
-- KEYS[1]  first list (ZSET: id by when the task was made, unix ms), or with a name the tasks by name (ZSET)
-- KEYS[2..] other lists
-- ARGV[1]  which list to walk along; 0: the shortest, or that of the names
-- ARGV[2]  first of the piece, from 0   ARGV[3]  length of the piece, at most 5,000
-- ARGV[4]  bound of the names, as ZRANGE BYLEX takes it, or empty   ARGV[5]  the other bound
-- Returns  {the list that was walked along, how many tasks there are in it, id, ...}, the latest first, or by name.
--          O(log tasks + piece · lists).

--@ include set_aside.lua#require_type
--@ include api_task_list.lua#range

local by_name = ARGV[4] ~= ''

local function shortest()
  local found, least = 1, nil
  for index, key in ipairs(KEYS) do
    local count = redis.call('ZCARD', key)
    if not least or count < least then found, least = index, count end
  end
  return by_name and 1 or found
end

for _, key in ipairs(KEYS) do require_type(key, 'zset') end
local along = ARGV[1] == '0' and shortest() or tonumber(ARGV[1])
local start, count = range_of(KEYS[along], ARGV[4], ARGV[5])
local from = tonumber(ARGV[2])
local ids = ids_at(KEYS[along], start + from, math.min(tonumber(ARGV[3]), count - from), by_name)
for index, key in ipairs(KEYS) do
  if index ~= along and #ids > 0 then
    local kept = {}
    for at, score in ipairs(redis.call('ZMSCORE', key, unpack(ids))) do
      if score then kept[#kept + 1] = ids[at] end
    end
    ids = kept
  end
end
return {along, count, unpack(ids)}
