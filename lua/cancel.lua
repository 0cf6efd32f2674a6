-- Cancel a job: asked first without a record, to mark it and to learn what is known; then with one, to end it now.
-- From the mark on no worker begins a call of it. Harmless when asked again.
--
-- KEYS[1]  done marker   KEYS[2]  claim (HASH)   KEYS[3]  cancel mark   KEYS[4]  the waiting job (HASH)
-- KEYS[5]  execution (STRING, JSON)   KEYS[6]  jobs that wait for their time (ZSET)   KEYS[7]  limits with a list (SET)
-- KEYS[8]  since when heartbeats were possible
--          only for a job that the scheduler planned, and with a record:
-- KEYS[9]  its occurrence (HASH)   KEYS[10] held due work (ZSET)   KEYS[11] instants of the held (HASH)
--          only for a run of an API task, and with a record, instead:
-- KEYS[9]  record of the task (HASH)   KEYS[10] its counts (HASH)   KEYS[11] tasks that depend on it (SET)
-- KEYS[12] due tasks (ZSET)   KEYS[13] waiting tasks (ZSET)   KEYS[14] all tasks (ZSET)
-- ARGV[1]  job id   ARGV[2]  prefix of heartbeat keys
-- ARGV[3]  milliseconds that the mark, and later the done marker, is kept
-- ARGV[4]  execution as JSON: end the job now, unless somebody runs it; empty: only mark it
-- ARGV[5]  milliseconds the execution is kept   ARGV[6]  milliseconds the mark of an ended job is kept
-- ARGV[7]  milliseconds a heartbeat lives
--          only for a run of an API task, and with a record:
-- ARGV[8]  prefix of lists of API tasks   ARGV[9]  task id   ARGV[10] UTC day, YYYY-MM-DD   ARGV[11] attempt
-- Returns  {"ended", word}: it ended before, as the done marker or else the record says; nothing is changed
--          {"running", incarnation}: a worker that lives, or may, runs it, and finds the mark
--          {"marked", unix ms now, attempt or 0, message, execution}: nobody runs it; texts that are not there are empty
--          {"cancelled"}: that is how it ended. O(log waiting).

--@ include set_aside.lua#require_type
--@ include delayed_move.lua#lists
--@ include places.lua#gone
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
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local beats = {prefix = ARGV[2], lives = tonumber(ARGV[7]), since = KEYS[8]}
if owner ~= '' and not worker_is_gone(owner, beats, now) then return {'running', owner} end

if ARGV[4] == '' then
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
if ARGV[8] then
  local task = {record = KEYS[9], counts = KEYS[10], dependents = KEYS[11], due = KEYS[12], waiting = KEYS[13],
                all = KEYS[14]}
  run_ended(task, ARGV[8], ARGV[9], ARGV[1], 'cancelled', tonumber(ARGV[11]), ARGV[10])
elseif KEYS[9] then
  count_ends(KEYS[9], KEYS[10], KEYS[11], 1)
end
return {'cancelled'}
