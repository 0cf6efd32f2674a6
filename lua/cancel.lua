-- Cancel a job: asked first without a record, to mark it and to learn what is known; then with one, to end it now.
-- From the mark on no worker begins a call of it. Harmless when asked again.
--
-- KEYS[1]  done marker   KEYS[2]  claim (HASH)   KEYS[3]  cancel mark   KEYS[4]  the waiting job (HASH)
-- KEYS[5]  execution (STRING, JSON)   KEYS[6]  jobs that wait for their time (ZSET)   KEYS[7]  limits with a list (SET)
--          only for a job that the scheduler planned, and with a record:
-- KEYS[8]  its occurrence (HASH)   KEYS[9]  held due work (ZSET)   KEYS[10] instants of the held (HASH)
--          only for a run of an API task, and with a record, instead:
-- KEYS[8]  record of the task (HASH)   KEYS[9]  its counts (HASH)   KEYS[10] tasks that depend on it (SET)
-- KEYS[11] due tasks (ZSET)   KEYS[12] waiting tasks (ZSET)   KEYS[13] all tasks (ZSET)
-- ARGV[1]  job id   ARGV[2]  prefix of heartbeat keys
-- ARGV[3]  milliseconds that the mark, and later the done marker, is kept
-- ARGV[4]  execution as JSON: end the job now, unless somebody runs it; empty: only mark it
-- ARGV[5]  milliseconds the execution is kept   ARGV[6]  milliseconds the mark of an ended job is kept
--          only for a run of an API task, and with a record:
-- ARGV[7]  prefix of lists of API tasks   ARGV[8]  task id   ARGV[9]  UTC day, YYYY-MM-DD   ARGV[10] attempt
-- Returns  {"ended", word}: it ended before, as the done marker or else the record says; nothing is changed
--          {"running", incarnation}: a worker that lives runs it, and finds the mark
--          {"marked", unix ms now, attempt or 0, message, execution}: nobody runs it; texts that are not there are empty
--          {"cancelled"}: that is how it ended. O(log waiting).

--@ include set_aside.lua#require_type
--@ include delayed_move.lua#lists
--@ include finish.lua#count_ends
--@ include api_task_create.lua#status
--@ include finish.lua#run_ended

local FINAL = {success = true, failed = true, skipped = true, cancelled = true}

-- The record outlives the done marker. Where the job runs or waits again, it is about the time before.
local function recorded_end(execution)
  if not execution or redis.call('EXISTS', KEYS[2], KEYS[4]) > 0 then return nil end
  local ok, record = pcall(cjson.decode, execution)
  if ok and type(record) == 'table' and FINAL[record.status] then return record.status end
end

for index, wanted in ipairs({'string', 'hash', 'string', 'hash', 'string', 'zset', 'set'}) do
  require_type(KEYS[index], wanted)
end
local list = list_of(KEYS[4], KEYS[6])
require_type(list, 'zset')
local done = redis.call('GET', KEYS[1])
local execution = redis.call('GET', KEYS[5])
done = done or recorded_end(execution)
if done then return {'ended', done} end

redis.call('SET', KEYS[3], '1', 'PX', ARGV[3])
local claim = redis.call('HMGET', KEYS[2], 'attempt', 'owner')
local owner = claim[2] or ''
if owner ~= '' and redis.call('EXISTS', ARGV[2] .. owner) == 1 then return {'running', owner} end

if ARGV[4] == '' then
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local waiting = redis.call('HMGET', KEYS[4], 'attempt', 'message')
  local attempt = tonumber(waiting[1] or claim[1] or 0)
  return {'marked', now, attempt, waiting[2] or '', execution or ''}
end

redis.call('SET', KEYS[1], 'cancelled', 'PX', ARGV[3])
-- A worker that was taken for dead may still be calling: it must find the mark as long as a call can last.
redis.call('PEXPIRE', KEYS[3], ARGV[6])
redis.call('SET', KEYS[5], ARGV[4], 'PX', ARGV[5])
redis.call('DEL', KEYS[2])
list_leave(KEYS[7], list, ARGV[1])
redis.call('DEL', KEYS[4])
if ARGV[7] then
  local task = {record = KEYS[8], counts = KEYS[9], dependents = KEYS[10], due = KEYS[11], waiting = KEYS[12],
                all = KEYS[13]}
  run_ended(task, ARGV[7], ARGV[8], ARGV[1], 'cancelled', tonumber(ARGV[10]), ARGV[9])
elseif KEYS[8] then
  count_ends(KEYS[8], KEYS[9], KEYS[10], 1)
end
return {'cancelled'}
