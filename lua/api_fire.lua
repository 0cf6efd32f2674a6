-- Let API tasks run that are due: each gives one job, which waits for its release from here on, and the task is due
-- again at its following instant. One that depends on a task which has not ended waits for that end instead.
--
-- KEYS[1]  lease   KEYS[2]  due tasks (ZSET: id by unix ms)   KEYS[3]  waiting tasks (ZSET: id by since when, unix ms)
-- KEYS[4]  all tasks (ZSET)   KEYS[5]  jobs that wait for their time (ZSET: job id by unix ms)
-- KEYS[6..] per task: record (HASH), dependencies (HASH), executions (ZSET: job id by unix ms); then of the job:
--          execution (STRING, JSON), the waiting job (HASH: message, attempt, generation, list, place), done marker,
--          claim
-- ARGV[1]  token   ARGV[2]  prefix of lists   ARGV[3]  prefix of records
-- ARGV[4]  milliseconds that executions are kept   ARGV[5]  and that the job is, counted from its time or now
-- ARGV[6]  executions that are listed of a task at most
-- ARGV[7..] per task: id, revision and next instant (unix ms, or empty) as they were read, following instant (unix ms,
--          or empty), job id, when the job is due (unix ms), message, place in the list of any limit, execution as JSON
-- Returns  per task a word. "queued"; "waiting": for another task; "known": that run was queued before, only the task
--          moved on; "stale": it was changed since it was read; "off": it is not to run; "gone": there is no such task.
--          O(tasks · (log tasks in all + dependencies)).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type
--@ include api_task_create.lua#status

-- [queue
-- Unix ms by Redis's clock.
local function milliseconds()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Let a job of an API task, of which there is nothing yet, wait for its release as its first attempt, and write down
-- that its execution is pending.
local function queue_run(record, executions, run, delayed, kept, most, now)
  redis.call('HSET', record, 'last_at', now, 'last_execution', run.job, 'retry_count', 0)
  redis.call('ZADD', executions, now, run.job)
  if redis.call('ZCARD', executions) > 1 then
    redis.call('ZREMRANGEBYSCORE', executions, '-inf', now - kept.execution)
    redis.call('ZREMRANGEBYRANK', executions, 0, -most - 1)
  end
  redis.call('PEXPIRE', executions, kept.execution)
  redis.call('SET', run.execution_key, run.execution, 'PX', kept.execution)
  redis.call('HSET', run.waiting_key, 'message', run.message, 'attempt', 1, 'list', delayed, 'place', run.place,
             'generation', 1)
  redis.call('PEXPIREAT', run.waiting_key, math.max(now, tonumber(run.due)) + kept.job)
  redis.call('ZADD', delayed, run.due, run.job)
end
-- queue]

local PER_TASK, KEYS_PER_TASK = 9, 7
local ENDS = {success = 'ended_success', completion = 'ended_completion', any = 'ended_any'}
local lease, due, waiting, tasks, delayed = unpack(KEYS)
local kept = {execution = tonumber(ARGV[4]), job = tonumber(ARGV[5])}
local most = tonumber(ARGV[6])

local function key(index, number) return KEYS[5 + (index - 1) * KEYS_PER_TASK + number] end
local function argument(index, number) return ARGV[6 + (index - 1) * PER_TASK + number] end

-- What Redis has answered of the hash at `name`; a refusal stops the script.
local function answered(name, reply)
  if reply.err then
    require_type(name, 'hash')
    error({err = reply.err})
  end
  return reply
end

-- What a task has in its record and its dependencies, and whether there is anything of its job; of a key with another
-- type no script may write.
local function known_of(index)
  local record, dependencies, waiting_job = key(index, 1), key(index, 2), key(index, 5)
  local known = answered(record, redis.pcall('HMGET', record, 'rev', 'status', 'next_at', 'last_at'))
  known.dependencies = answered(dependencies, redis.pcall('HVALS', dependencies))
  require_type(key(index, 3), 'zset')
  known.is_queued = redis.call('EXISTS', key(index, 4), waiting_job, key(index, 6), key(index, 7)) > 0
  if known.is_queued then require_type(waiting_job, 'hash') end
  return known
end

-- Whether a task whose previous run was at `since` depends on one that has not ended after that as it should.
local function is_open(dependencies, since)
  for _, text in ipairs(dependencies) do
    local ok, dependency = pcall(cjson.decode, text)
    -- What another hand wrote there is no dependency.
    if ok and type(dependency) == 'table' and type(dependency.on) == 'string' and ENDS[dependency.type] then
      local ended = redis.pcall('HGET', ARGV[3] .. dependency.on, ENDS[dependency.type])
      if type(ended) == 'table' and not string.find(ended.err, '^WRONGTYPE') then error({err = ended.err}) end
      ended = type(ended) == 'string' and tonumber(ended)
      if not ended or (since and ended <= since) then return true end
    end
  end
  return false
end

local function fire(index, known, now)
  local id, record = argument(index, 1), key(index, 1)
  local next_at = known[3] or ''
  local is_on = known[2] == 'scheduled' or known[2] == 'waiting'
  if not known[1] or not is_on or next_at == '' then
    redis.call('ZREM', due, id)
    return known[1] and 'off' or 'gone'
  end
  if known[1] ~= argument(index, 2) or next_at ~= argument(index, 3) then return 'stale' end
  if is_open(known.dependencies, tonumber(known[4])) then
    change_status(record, tasks, ARGV[2], id, 'waiting')
    redis.call('ZREM', due, id)
    redis.call('ZADD', waiting, next_at, id)
    return 'waiting'
  end

  local following = argument(index, 4)
  if known[2] ~= 'scheduled' then change_status(record, tasks, ARGV[2], id, 'scheduled') end
  redis.call('HSET', record, 'next_at', following)
  if following == '' then
    redis.call('HSET', record, 'only_run', argument(index, 5))
    redis.call('ZREM', due, id)
  else
    redis.call('ZADD', due, following, id)
  end
  if known.is_queued then return 'known' end
  queue_run(record, key(index, 3), {
    job = argument(index, 5), due = argument(index, 6), message = argument(index, 7), place = argument(index, 8),
    execution = argument(index, 9), execution_key = key(index, 4), waiting_key = key(index, 5),
  }, delayed, kept, most, now)
  return 'queued'
end

require_lease(lease, ARGV[1])
for _, name in ipairs({due, waiting, tasks, delayed}) do require_type(name, 'zset') end
local known = {}
for index = 1, (#ARGV - 6) / PER_TASK do known[index] = known_of(index) end
local words, now = {}, milliseconds()
for index, each in ipairs(known) do words[index] = fire(index, each, now) end
return words
