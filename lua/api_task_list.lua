-- One page of the API tasks that stand in a list, the latest first; by name, where a name is asked for.
--
-- KEYS[1]  the list (ZSET: id by when the task was made, unix ms), or the tasks by name (ZSET)
-- ARGV[1]  prefix of records   ARGV[2]  first of the page, from 0   ARGV[3]  length of the page
-- ARGV[4]  bound of the names, as ZRANGE BYLEX takes it, or empty   ARGV[5]  the other bound
-- ARGV[6..] fields of the records
-- Returns  {how many there are, then per task {id, value, ...}}. O(log tasks + page).

--@ include set_aside.lua#require_type

-- [range
-- The tasks of a list are counted from 0: by name where there are bounds, else the latest first. By rank the last page
-- costs as much as the first, which an offset into BYLEX would not.

-- Where among all names the range begins that is asked for, and how many tasks there are in it.
local function range_of(key, lower, upper)
  if lower == '' then return 0, redis.call('ZCARD', key) end
  local before = string.gsub(lower, '^%[', '(')
  return redis.call('ZLEXCOUNT', key, '-', before), redis.call('ZLEXCOUNT', key, lower, upper)
end

local function ids_at(key, from, count, by_name)
  if count <= 0 then return {} end
  if not by_name then return redis.call('ZRANGE', key, from, from + count - 1, 'REV') end
  local ids = redis.call('ZRANGE', key, from, from + count - 1)
  -- The id follows the name, a NUL and 15 digits.
  for index, entry in ipairs(ids) do ids[index] = string.sub(entry, string.find(entry, '%z') + 16) end
  return ids
end
-- range]

require_type(KEYS[1], 'zset')
local first, length = tonumber(ARGV[2]), tonumber(ARGV[3])
local start, count = range_of(KEYS[1], ARGV[4], ARGV[5])
local answer = {count}
for _, id in ipairs(ids_at(KEYS[1], start + first, math.min(length, count - first), ARGV[4] ~= '')) do
  -- A record that holds another type must not hide the others.
  local row = redis.pcall('HMGET', ARGV[1] .. id, unpack(ARGV, 6))
  if not row.err then
    table.insert(row, 1, id)
    answer[#answer + 1] = row
  end
end
return answer
