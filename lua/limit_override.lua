-- Set a limit for a while, or take that back. What has lapsed is removed with it.
--
-- KEYS[1]  overrides (HASH: limit -> JSON with `until`, unix ms)
-- ARGV[1]  name of the limit   ARGV[2]  its override as JSON; empty: there is none any more
-- Returns  1 when there was one before that had not lapsed, else 0. O(overrides).

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- What another hand wrote there has ended, unless it is an instant in whole milliseconds.
local function until_of(text)
  local known, override = pcall(cjson.decode, text)
  local ends = known and type(override) == 'table' and tonumber(override['until']) or 0
  return ends < 1e15 and math.floor(ends) == ends and ends or 0
end

local before = redis.call('HGET', KEYS[1], ARGV[1])
local there = before and until_of(before) > now and 1 or 0
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end

local last = 0
local all = redis.call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
  local ends = until_of(all[index + 1])
  if ends <= now then redis.call('HDEL', KEYS[1], all[index]) end
  last = math.max(last, ends)
end
if last > now then redis.call('PEXPIREAT', KEYS[1], last) end
return there
