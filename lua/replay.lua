-- Let a failed job wait for a new first attempt, unless something else has become of it since. A failure is replayed
-- once, whoever asks again. A stored job gets a new generation, so that the leader removes only what it has published.
--
-- KEYS[1]  done marker   KEYS[2]  claim (HASH)   KEYS[3]  cancel mark
-- KEYS[4]  the waiting job (HASH: message, attempt, generation, list, place)   KEYS[5]  execution (STRING, JSON)
-- KEYS[6]  jobs that wait for their time (ZSET: job id by unix ms)             KEYS[7]  limits that have a list (SET)
-- KEYS[8]  failures of the job that were replayed (HASH: identity -> unix ms)
-- KEYS[9]  since when heartbeats were possible
-- ARGV[1]  job id         ARGV[2]  identity of the failure    ARGV[3]  prefix of heartbeat keys
-- ARGV[4]  when, unix ms  ARGV[5]  message                    ARGV[6]  place in the list of any limit
-- ARGV[7]  milliseconds the job is kept, counted from then    ARGV[8]  execution as JSON
-- ARGV[9]  milliseconds it is kept, and the note that the failure was replayed
-- ARGV[10] when it failed, unix ms; empty: not known
-- ARGV[11] milliseconds a heartbeat lives
-- Returns  {word, more}, and has changed something only with "replayed":
--          "replayed"; "before": this failure was replayed already; "succeeded", or "ended": the job is over otherwise,
--          as the word of its end says; "unsettled": its worker has not put the failure away to the end, and it may
--          still be at it; "cancelled": it bears the mark; "waiting", list; "running", incarnation. O(log waiting).

--@ include set_aside.lua#require_type
--@ include delayed_move.lua#lists
--@ include places.lua#gone

local ENDS = {success = true, skipped = true, cancelled = true}

-- RabbitMQ's consumer_timeout: whoever holds a job's message for longer has lost it, and the message came again. What is
-- not put away to the end after that stays so, for the message is gone.
local HELD_AT_MOST = 30 * 60 * 1000

local function recorded_end(execution)
  local ok, record = pcall(cjson.decode, execution or '')
  return ok and type(record) == 'table' and ENDS[record.status] and record.status or nil
end

local function over(word)
  return {word == 'success' and 'succeeded' or 'ended', word}
end

for index, wanted in ipairs({'string', 'hash', 'string', 'hash', 'string', 'zset', 'set', 'hash'}) do
  require_type(KEYS[index], wanted)
end
local list = list_of(KEYS[4], KEYS[6])
require_type(list, 'zset')

if redis.call('HEXISTS', KEYS[8], ARGV[2]) == 1 then return {'before', ''} end
if redis.call('EXISTS', KEYS[3]) == 1 then return {'cancelled', ''} end
local done = redis.call('GET', KEYS[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if done and string.sub(done, 1, 8) == 'failing:' then
  if now - (tonumber(ARGV[10]) or now) <= HELD_AT_MOST then return {'unsettled', done} end
elseif done and done ~= 'failed' then
  return over(done)
end
-- Where the marker says how it ended, what is left of the rest is of before that.
if not done then
  if redis.call('EXISTS', KEYS[4]) == 1 then return {'waiting', list} end
  local owner = redis.call('HGET', KEYS[2], 'owner')
  local beats = {prefix = ARGV[3], lives = tonumber(ARGV[11]), since = KEYS[9]}
  if owner and owner ~= '' and not worker_is_gone(owner, beats, now) then return {'running', owner} end
  local ended = recorded_end(redis.call('GET', KEYS[5]))
  if ended then return over(ended) end
end

redis.call('DEL', KEYS[1], KEYS[2])
if list ~= KEYS[6] then list_leave(KEYS[7], list, ARGV[1]) end
redis.call('HSET', KEYS[4], 'message', ARGV[5], 'attempt', 1, 'list', KEYS[6], 'place', ARGV[6])
redis.call('HINCRBY', KEYS[4], 'generation', 1)
redis.call('PEXPIREAT', KEYS[4], tonumber(ARGV[4]) + tonumber(ARGV[7]))
list_enter(KEYS[7], KEYS[6], ARGV[1], ARGV[4])
redis.call('SET', KEYS[5], ARGV[8], 'PX', ARGV[9])
redis.call('HSET', KEYS[8], ARGV[2], now)
redis.call('PEXPIRE', KEYS[8], ARGV[9])
return {'replayed', ''}
