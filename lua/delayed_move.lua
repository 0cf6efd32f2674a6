-- Let jobs wait for a limit, unless they were put back since they were read.
--
-- KEYS[1]  lease   KEYS[2]  limits that have a list (SET)   KEYS[3]  the list they were read from (ZSET)
-- KEYS[4]  list of the limit (ZSET: job id by place)        KEYS[5..]  each job (HASH)
-- ARGV[1]  token   ARGV[2]  milliseconds a waiting job is kept
-- ARGV[3..]  per job: job id, generation that was read, its place
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

require_lease(KEYS[1], ARGV[1])
require_type(KEYS[2], 'set')
require_type(KEYS[3], 'zset')
require_type(KEYS[4], 'zset')
for index = 5, #KEYS do require_type(KEYS[index], 'hash') end
local moved = 0
for index = 5, #KEYS do
  local argument = 3 + (index - 5) * 3
  local job, job_id = KEYS[index], ARGV[argument]
  if redis.call('HGET', job, 'generation') == ARGV[argument + 1] and list_of(job, KEYS[3]) == KEYS[3] then
    moved = moved + list_leave(KEYS[2], KEYS[3], job_id)
    list_enter(KEYS[2], KEYS[4], job_id, ARGV[argument + 2])
    redis.call('HSET', job, 'list', KEYS[4])
    redis.call('PEXPIRE', job, ARGV[2], 'GT')
  end
end
return moved
