-- Let jobs wait for a limit, unless they were put back since they were read.
--
-- KEYS[1]  lease   KEYS[2]  limits that have a list (SET)   KEYS[3]  the list they were read from (ZSET)
-- KEYS[4]  list of the limit (ZSET: job id by place)
-- KEYS[5..]  of each job: its hash, what it has waited for (LIST, JSON)
-- ARGV[1]  token   ARGV[2]  milliseconds a waiting job is kept   ARGV[3]  milliseconds the latter is kept
-- ARGV[4..]  per job: job id, generation that was read, its place
-- Returns  how many were moved. O(jobs · log waiting).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type

-- [lists
-- A job waits in one list at a time; its hash names it. Without a name it waits for its time.
local function list_of(job, by_time)
  return redis.call('HGET', job, 'list') or by_time
end

-- The limits that have a list are named in a set, whose key begins the keys of their lists.
local function limit_of(limits, list)
  local prefix = limits .. ':'
  return string.sub(list, 1, #prefix) == prefix and string.sub(list, #prefix + 1) or nil
end

local function list_enter(limits, list, job_id, score)
  local limit = limit_of(limits, list)
  if limit then redis.call('SADD', limits, limit) end
  redis.call('ZADD', list, score, job_id)
end

-- Return how many left: 0 or 1.
local function list_leave(limits, list, job_id)
  local left = redis.call('ZREM', list, job_id)
  local limit = limit_of(limits, list)
  if limit and redis.call('EXISTS', list) == 0 then redis.call('SREM', limits, limit) end
  return left
end
-- lists]

-- [waits
local MOST_WAITS = 50

-- Note that a job was put aside; asked again, once. The latest are kept. A key that holds another type must not keep the
-- job from waiting.
local function note_wait(waits, text, milliseconds)
  if redis.pcall('LINDEX', waits, -1) == text then return end
  if type(redis.pcall('RPUSH', waits, text)) ~= 'number' then return end
  redis.call('LTRIM', waits, -MOST_WAITS, -1)
  redis.call('PEXPIRE', waits, milliseconds)
end
-- waits]

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

require_lease(KEYS[1], ARGV[1])
require_type(KEYS[2], 'set')
require_type(KEYS[3], 'zset')
require_type(KEYS[4], 'zset')
for index = 5, #KEYS, 2 do require_type(KEYS[index], 'hash') end
local moved, now, limit = 0, now_ms(), limit_of(KEYS[2], KEYS[4])
for index = 5, #KEYS, 2 do
  local argument = 4 + (index - 5) / 2 * 3
  local job, job_id = KEYS[index], ARGV[argument]
  if redis.call('HGET', job, 'generation') == ARGV[argument + 1] and list_of(job, KEYS[3]) == KEYS[3] then
    moved = moved + list_leave(KEYS[2], KEYS[3], job_id)
    list_enter(KEYS[2], KEYS[4], job_id, ARGV[argument + 2])
    redis.call('HSET', job, 'list', KEYS[4])
    redis.call('PEXPIRE', job, ARGV[2], 'GT')
    local attempt = tonumber(redis.call('HGET', job, 'attempt')) or 1
    note_wait(KEYS[index + 1], cjson.encode({since = now, attempt = attempt, limit = limit}), ARGV[3])
  end
end
return moved
