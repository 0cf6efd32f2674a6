-- Move the due entry of a (task, cohort) to its next instant and open the record of the occurrence: compare and set.
-- With an overlap of "skip" or "queue" only if the occurrence before it is over: else the entry moves without one, or
-- is held until then.
--
-- KEYS[1]  lease   KEYS[2]  due work (ZSET)   KEYS[3]  occurrence (HASH)   KEYS[4]  live occurrences (ZSET)
-- KEYS[5]  owners of the plain slot lists (HASH: task id -> occurrence)   KEYS[6]  planning lock of the task
-- KEYS[7]  held due work (ZSET)   KEYS[8]  instants of the held (HASH)
-- KEYS[9]  the cohort's latest occurrence (STRING: its id)          KEYS[10] those that are never due again (SET)
-- ARGV[1]  token            ARGV[2]  member of the due work      ARGV[3]  its instant as it was read, unix ms
-- ARGV[4]  1: it is held    ARGV[5]  its next instant, empty when the task is never due again
-- ARGV[6]  member of the live occurrences; empty: only move      ARGV[7]  occurrence id
-- ARGV[8]  task id          ARGV[9]  1: may use the plain slot lists   ARGV[10] first due instant, unix ms
-- ARGV[11] milliseconds the record is kept                       ARGV[12] milliseconds the planning lock is kept
-- ARGV[13] overlap: "allow", "skip", "queue"                     ARGV[14] now, unix ms
-- ARGV[15] what the key of an occurrence of the task begins with
-- ARGV[16..] fields and values of the record
-- Returns  1 planned, 0 the entry had moved already, 2 the occurrence existed already, 3 held until the one before it
-- is over, 4 moved without an occurrence, for the one before it is not over, 5 planned, for the time of the one before
-- it is up, though not all ends of its jobs were told. O(log due).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type

require_lease(KEYS[1], ARGV[1])
for index, wanted in ipairs({'zset', 'hash', 'zset', 'hash', 'string', 'zset', 'hash', 'string', 'set'}) do
  require_type(KEYS[index + 1], wanted)
end

local function instant_of_entry()
  if ARGV[4] ~= '1' then return redis.call('ZSCORE', KEYS[2], ARGV[2]) end
  return string.match(redis.call('HGET', KEYS[8], ARGV[2]) or '', '^%d+')
end

local function move()
  redis.call('ZREM', KEYS[7], ARGV[2])
  redis.call('HDEL', KEYS[8], ARGV[2])
  if ARGV[5] == '' then
    redis.call('ZREM', KEYS[2], ARGV[2])
    redis.call('SADD', KEYS[10], ARGV[2])
  else
    redis.call('ZADD', KEYS[2], ARGV[5], ARGV[2])
    -- A scheduler of an earlier version may have let it begin anew without a word here.
    redis.call('SREM', KEYS[10], ARGV[2])
  end
end

local function hold(until_ms)
  redis.call('ZREM', KEYS[2], ARGV[2])
  redis.call('HSET', KEYS[8], ARGV[2], ARGV[3] .. ':waited')
  redis.call('ZADD', KEYS[7], until_ms, ARGV[2])
end

-- A number of an occurrence's record. Nothing is written yet where it is none.
local function number_in(key, field, value)
  if value and not (string.match(value, '^%d+$') and #value < 16) then
    error({err = 'UNREADABLE ' .. key .. ' has no number in its field ' .. field})
  end
  return tonumber(value or 0)
end

-- When the occurrence before this one is over at the latest; nil: it is over, and true behind it: for its time is up.
local function runs_until()
  local latest = redis.call('GET', KEYS[9])
  if not latest then return nil end
  local key = ARGV[15] .. latest
  require_type(key, 'hash')
  local record = redis.call('HMGET', key, 'over_by', 'state', 'planned', 'ended', 'starts_at')
  -- One that is gone is over; what began under a clock that was ahead is not before this one.
  if not record[1] or number_in(key, 'starts_at', record[5]) > tonumber(ARGV[14]) then return nil end
  local over_by, planned = number_in(key, 'over_by', record[1]), number_in(key, 'planned', record[3])
  if number_in(key, 'ended', record[4]) >= planned and record[2] ~= 'planning' then return nil end
  if over_by <= tonumber(ARGV[14]) then return nil, true end
  return over_by
end

local instant = instant_of_entry()
-- Somebody else may have written it with a fraction, which instants here have not.
if not instant or math.floor(tonumber(instant)) ~= tonumber(ARGV[3]) then return 0 end
local exists = redis.call('EXISTS', KEYS[3]) == 1
local planned = 1
if ARGV[6] ~= '' and not exists and ARGV[13] ~= 'allow' then
  local over_by, time_is_up = runs_until()
  if over_by and ARGV[13] == 'queue' then
    hold(over_by)
    return 3
  elseif over_by then
    move()
    return 4
  end
  if time_is_up then planned = 5 end
end

move()
if ARGV[6] == '' then return 1 end
if exists then return 2 end

-- The plain lists of an occurrence that is not live any more, though it was not closed, are nobody's.
local function plain_are_free()
  local owner = redis.call('HGET', KEYS[5], ARGV[8])
  return not owner or not redis.call('ZSCORE', KEYS[4], ARGV[8] .. ':' .. owner)
end

local suffix = ':' .. ARGV[7]
if ARGV[9] == '1' and plain_are_free() then
  redis.call('HSET', KEYS[5], ARGV[8], ARGV[7])
  suffix = ''
end
redis.call('HSET', KEYS[3], 'suffix', suffix, 'cursor', '', 'planned', 0, 'released', 0, unpack(ARGV, 16))
redis.call('PEXPIRE', KEYS[3], ARGV[11])
redis.call('ZADD', KEYS[4], ARGV[10], ARGV[6])
redis.call('SET', KEYS[6], ARGV[1], 'PX', ARGV[12])
if ARGV[13] ~= 'allow' then redis.call('SET', KEYS[9], ARGV[7], 'PX', ARGV[11]) end
return planned
