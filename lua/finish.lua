-- Write down how a job ended; the first end wins. Harmless when asked again.
--
-- KEYS[1]  done marker   KEYS[2]  claim   KEYS[3]  execution (STRING, JSON)
-- KEYS[4]  executions of the day (HASH), or its failures without a call where that is how the job ended
-- KEYS[6]  durations of the task (ZSET)
-- KEYS[5]  failures of the day (HASH), or its cancels where the job was cancelled
-- KEYS[7]  places of the task (ZSET)       KEYS[8]  cancel mark
--          only for a job that the scheduler planned:
-- KEYS[9]  its occurrence (HASH)   KEYS[10] held due work (ZSET)   KEYS[11] instants of the held (HASH)
--          only for a run of an API task instead:
-- KEYS[9]  record of the task (HASH)   KEYS[10] its counts (HASH)   KEYS[11] tasks that depend on it (SET)
-- KEYS[12] due tasks (ZSET)   KEYS[13] waiting tasks (ZSET)   KEYS[14] all tasks (ZSET)
--          only with a trail, behind all others: attempts (LIST, JSON), log lines (LIST, JSON)
-- ARGV[1]  the word for the done marker    ARGV[2]  milliseconds it is kept
-- ARGV[3]  execution as JSON               ARGV[4]  milliseconds it is kept
-- ARGV[5]  task id                         ARGV[6]  1: the endpoint was called, count it
-- ARGV[7]  1: count it in KEYS[5]          ARGV[8]  completion, unix ms
-- ARGV[9]  member of the duration ZSET     ARGV[10] milliseconds the metrics are kept
-- ARGV[11] entries the duration ZSET keeps ARGV[12] incarnation of the worker
-- ARGV[13] delivery, unique within it      ARGV[14] job id
-- ARGV[15] milliseconds the mark of an ended job is kept
-- ARGV[16] prefix of lists of API tasks; empty for any other job
--          only for a run of an API task:
-- ARGV[17] UTC day of its end, YYYY-MM-DD  ARGV[18] attempt
--          only with a trail, from ARGV[17] on, or from ARGV[19] on: the attempt as JSON, log lines as JSON
-- Returns  the word that stands now: ARGV[1], or the earlier end's. O(log durations + tasks that depend on this one).

--@ include places.lua#place
--@ include api_task_create.lua#status

-- [count_ends
-- Note that `count` jobs of an occurrence have ended, or never were, and let the due work that waits for its end be
-- looked at. Only occurrences that others wait for or yield to are counted. What cannot be read, for a key holds
-- another type, is left alone: it must not keep a job from its end.
local function count_ends(occurrence, held, instants, count)
  local record = redis.pcall('HMGET', occurrence, 'counted_for', 'state', 'planned')
  if record.err or not record[1] then return end
  local ended = redis.pcall('HINCRBY', occurrence, 'ended', count)
  local planned = tonumber(record[3])
  if type(ended) ~= 'number' or not planned or record[2] == 'planning' or ended < planned then return end
  local instant = redis.pcall('HGET', instants, record[1])
  if type(instant) == 'string' then
    redis.pcall('ZADD', held, 'XX', 'LT', string.match(instant, '^%d+'), record[1])
  end
end
-- count_ends]

-- [run_ended
local DAYS_COUNTED = 8

-- Count an end, in all and for its day; of the days the latest stay.
local function count_end(counts, word, day)
  redis.pcall('HINCRBY', counts, 'total', 1)
  redis.pcall('HINCRBY', counts, word, 1)
  local mark = ({success = 's', failed = 'f'})[word]
  if mark then redis.pcall('HINCRBY', counts, day .. ':' .. mark, 1) end
  if redis.pcall('HINCRBY', counts, day .. ':n', 1) ~= 1 then return end
  local days = {}
  for _, field in ipairs(redis.call('HKEYS', counts)) do
    local found = string.match(field, '^(%d+-%d+-%d+):n$')
    if found then days[#days + 1] = found end
  end
  table.sort(days)
  for index = 1, #days - DAYS_COUNTED do
    redis.call('HDEL', counts, days[index] .. ':n', days[index] .. ':s', days[index] .. ':f')
  end
end

-- A task that was to run once and has is over, unless its run was skipped, for then it was paused: resumed, it is due.
-- Not so after a call of it: the run that makes up for it would be another one to the endpoint.
local function end_of_one_time(task, prefix, id, word, attempt, now)
  if word == 'skipped' and attempt == 1 then
    redis.call('HDEL', task.record, 'only_run')
    redis.call('HSET', task.record, 'next_at', now)
    if redis.call('HGET', task.record, 'status') == 'scheduled' then redis.pcall('ZADD', task.due, now, id) end
  else
    change_status(task.record, task.all, prefix, id, word == 'success' and 'completed' or 'failed')
  end
end

-- Note that a run of the API task `id` has ended as `word` says, and let the tasks be looked at that wait for it. What
-- cannot be read, for a key holds another type, is left alone: it must not keep a job from its end.
local function run_ended(task, prefix, id, job, word, attempt, day)
  local known = redis.pcall('HMGET', task.record, 'indexes', 'source', 'only_run', 'last_execution')
  if known.err or not known[1] or known[2] == 'file' then return end
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  if word == 'success' then
    redis.call('HSET', task.record, 'ended_any', now, 'ended_completion', now, 'ended_success', now)
  elseif word == 'failed' then
    redis.call('HSET', task.record, 'ended_any', now, 'ended_completion', now)
  else
    redis.call('HSET', task.record, 'ended_any', now)
  end
  if known[4] == job then redis.call('HSET', task.record, 'retry_count', attempt - 1) end
  -- Any other run of it is a trigger's, or was for an instant that it was put off from.
  if known[3] == job and string.find(known[1] .. '\n', '\ntype:one_time\n', 1, true) then
    end_of_one_time(task, prefix, id, word, attempt, now)
  end
  local counts = redis.call('TYPE', task.counts).ok
  if counts == 'hash' or counts == 'none' then count_end(task.counts, word, day) end
  local dependents = redis.pcall('SMEMBERS', task.dependents)
  for _, dependent in ipairs(dependents) do
    if redis.pcall('ZREM', task.waiting, dependent) == 1 then redis.pcall('ZADD', task.due, now, dependent) end
  end
end
-- run_ended]

-- [trail
local MOST_ATTEMPTS, MOST_LINES, MOST_BYTES = 50, 200, 65536

-- Append lines to a log, from ARGV[first] on; the latest are kept.
local function append_lines(logs, first)
  redis.pcall('RPUSH', logs, unpack(ARGV, first))
  local lines = redis.pcall('LRANGE', logs, -MOST_LINES, -1)
  local kept, bytes = 0, 0
  for index = #lines, 1, -1 do
    bytes = bytes + #lines[index]
    if bytes > MOST_BYTES then break end
    kept = kept + 1
  end
  if kept > 0 then redis.pcall('LTRIM', logs, -kept, -1) end
end

-- Append an attempt to the history of its job, and what its endpoint returned to the log, from ARGV[first] on. Of both
-- the latest are kept. A key that holds another type must not keep a job from its end, or from its next attempt.
local function leave_trail(attempts, logs, first, milliseconds)
  redis.pcall('RPUSH', attempts, ARGV[first])
  redis.pcall('LTRIM', attempts, -MOST_ATTEMPTS, -1)
  redis.call('PEXPIRE', attempts, milliseconds)
  if ARGV[first + 1] then append_lines(logs, first + 1) end
  redis.call('PEXPIRE', logs, milliseconds)
end
-- trail]

place_give_back(KEYS[7], place_name(ARGV[12], ARGV[13], ARGV[14]))
local done = redis.call('GET', KEYS[1])
if done then return done end

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[4])
redis.call('PEXPIRE', KEYS[8], ARGV[15], 'LT')
local of_api = ARGV[16] ~= ''
if of_api then
  local task = {record = KEYS[9], counts = KEYS[10], dependents = KEYS[11], due = KEYS[12], waiting = KEYS[13],
                all = KEYS[14]}
  local word = string.match(ARGV[1], '^failing:') and 'failed' or ARGV[1]
  run_ended(task, ARGV[16], ARGV[5], ARGV[14], word, tonumber(ARGV[18]), ARGV[17])
elseif KEYS[11] then
  count_ends(KEYS[9], KEYS[10], KEYS[11], 1)
end
-- A metric's key that holds another type must not keep a job from its end.
if ARGV[6] == '1' then
  redis.pcall('HINCRBY', KEYS[4], ARGV[5], 1)
  redis.call('PEXPIRE', KEYS[4], ARGV[10])
  redis.pcall('ZADD', KEYS[6], ARGV[8], ARGV[9])
  redis.pcall('ZREMRANGEBYRANK', KEYS[6], 0, -tonumber(ARGV[11]) - 1)
  redis.call('PEXPIRE', KEYS[6], ARGV[10])
elseif ARGV[7] == '1' then
  redis.pcall('HINCRBY', KEYS[4], ARGV[5], 1)
  redis.call('PEXPIRE', KEYS[4], ARGV[10])
end
if ARGV[7] == '1' then
  redis.pcall('HINCRBY', KEYS[5], ARGV[5], 1)
  redis.call('PEXPIRE', KEYS[5], ARGV[10])
end
local trail = of_api and 19 or 17
if ARGV[trail] then leave_trail(KEYS[#KEYS - 1], KEYS[#KEYS], trail, ARGV[4]) end
return ARGV[1]
