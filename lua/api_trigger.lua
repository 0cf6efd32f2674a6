-- Let an API task run now, beside its schedule: its job waits for its release. Harmless when asked again.
--
-- KEYS[1]  record of the task (HASH)   KEYS[2]  executions of the task (ZSET: job id by unix ms)
-- KEYS[3]  execution (STRING, JSON)    KEYS[4]  the waiting job (HASH: message, attempt, generation, list, place)
-- KEYS[5]  done marker   KEYS[6]  claim   KEYS[7]  jobs that wait for their time (ZSET: job id by unix ms)
-- ARGV[1]  job id   ARGV[2]  when it is due, unix ms   ARGV[3]  message   ARGV[4]  place in the list of any limit
-- ARGV[5]  execution as JSON   ARGV[6]  milliseconds it is kept
-- ARGV[7]  milliseconds that the job is kept, counted from its time or now
-- ARGV[8]  executions that are listed of a task at most
-- Returns  {"queued", unix ms}: when it was; or why it was not: {"gone"}, {"file"}: a task of the file, {"paused"}.
--          O(log waiting).

--@ include set_aside.lua#require_type
--@ include api_fire.lua#queue

for index, wanted in ipairs({'hash', 'zset', 'string', 'hash'}) do require_type(KEYS[index], wanted) end
require_type(KEYS[7], 'zset')
local known = redis.call('HMGET', KEYS[1], 'rev', 'status', 'source')
if not known[1] then return {'gone'} end
if known[3] == 'file' then return {'file'} end
local queued = redis.call('ZSCORE', KEYS[2], ARGV[1])
if queued then return {'queued', tonumber(queued)} end
if redis.call('EXISTS', unpack(KEYS, 3, 6)) > 0 then return {'queued', tonumber(ARGV[2])} end
if known[2] == 'paused' then return {'paused'} end
local kept = {execution = tonumber(ARGV[6]), job = tonumber(ARGV[7])}
local run = {
  job = ARGV[1], due = ARGV[2], message = ARGV[3], place = ARGV[4], execution = ARGV[5],
  execution_key = KEYS[3], waiting_key = KEYS[4],
}
local now = milliseconds()
queue_run(KEYS[1], KEYS[2], run, KEYS[7], kept, tonumber(ARGV[8]), now)
return {'queued', now}
