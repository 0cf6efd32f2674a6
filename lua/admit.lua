-- May this job be called now? Claim it, take a token from both buckets and a place of its task, or say why not; all or
-- nothing. Asked again with the same delivery, it answers the same and takes no second token and no second place.
--
-- KEYS[1]  claim (HASH: attempt, owner, delivery, started)   KEYS[2]  done marker   KEYS[3]  cancel mark
-- KEYS[4]  the user's switches (HASH)   KEYS[5]  global bucket   KEYS[6]  the task's bucket
-- KEYS[7]  places of the task (ZSET)        KEYS[8]  since when heartbeats were possible
-- ARGV[1]  incarnation of the worker       ARGV[2]  delivery, unique within it
-- ARGV[3]  attempt, from 1                 ARGV[4]  task id
-- ARGV[5]  switch: "required" (must be 1), "default" (must be 1, or not stated by a user who is known), "optional"
--          (stops at an explicit 0), "none", "off" (the task is disabled), "removed" (it is gone, its jobs are drained)
-- ARGV[6]  execute_after, unix ms          ARGV[7]  expires, unix ms
-- ARGV[8], ARGV[9]    burst and rate per second of the global limit; empty burst: none
-- ARGV[10], ARGV[11]  the same of the task's limit
-- ARGV[12] milliseconds the claim is kept  ARGV[13] prefix of heartbeat keys
-- ARGV[14] milliseconds a heartbeat lives  ARGV[15] after a worker died during the attempt: "run" again or "fail"
-- ARGV[16] jobs of the task that may run at a time; empty: any number
-- ARGV[17] milliseconds a place is kept    ARGV[18] job id
-- Returns {verdict, milliseconds, word}. O(1).
--   run   now, -        call it            drop  0, why     a copy: acknowledge and forget
--   wait  ms, why       ask again then     skip  0, why     over without a call
--   park  unix ms, why  put it back until  fail  0, why     over: to taskqueue.jobs.failed

--@ include rate_limit.lua#bucket
--@ include places.lua#place
--@ include places.lua#gone
--@ include places.lua#places

-- A place becomes free when a call ends, which nobody knows beforehand.
local PLACE_WAIT = 50

local function switch_word()
  local switch = redis.pcall('HGET', KEYS[4], ARGV[4])
  -- A key of another type says nothing about this task.
  return type(switch) == 'string' and switch or ''
end

-- Would the plan, made now, have this user? As in taskqueue/core/preference.py.
local function is_on_by_default()
  local word = switch_word()
  if word ~= '' then return word == '1' end
  local switches = redis.pcall('HLEN', KEYS[4])
  return type(switches) == 'number' and switches > 0 and redis.call('HEXISTS', KEYS[4], ARGV[4]) == 0
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local done = redis.call('GET', KEYS[2])
if done then return {'drop', 0, done} end

local beats = {prefix = ARGV[13], lives = tonumber(ARGV[14]), since = KEYS[8]}
local attempt = tonumber(ARGV[3])
local claim = redis.call('HMGET', KEYS[1], 'attempt', 'owner', 'delivery')
if claim[1] and attempt < tonumber(claim[1]) then return {'drop', 0, 'stale_attempt'} end
if redis.call('EXISTS', KEYS[3]) == 1 then return {'skip', 0, 'cancelled'} end

if claim[2] and claim[2] ~= '' then
  if claim[2] == ARGV[1] and claim[3] == ARGV[2] then return {'run', now, ''} end
  if claim[2] ~= ARGV[1] and not worker_is_gone(claim[2], beats, now) then
    return {'park', now + beats.lives, 'claimed'}
  end
  if ARGV[15] == 'fail' then return {'fail', 0, 'worker_lost'} end
end

if now > tonumber(ARGV[7]) then return {'fail', 0, 'expired'} end
if ARGV[5] == 'off' then return {'skip', 0, 'task_disabled'} end
if ARGV[5] == 'removed' then return {'skip', 0, 'task_removed'} end

local early = tonumber(ARGV[6]) - now
if early > 1000 then return {'park', tonumber(ARGV[6]), 'early'} end
if early > 0 then return {'wait', early, 'early'} end

-- Not before its time has come: until then the user may change their mind.
if ARGV[5] == 'required' and switch_word() ~= '1' then return {'skip', 0, 'preference_off'} end
if ARGV[5] == 'default' and not is_on_by_default() then return {'skip', 0, 'preference_off'} end
if ARGV[5] == 'optional' and switch_word() == '0' then return {'skip', 0, 'preference_off'} end

local limits = {{key = KEYS[5], word = 'global', burst = ARGV[8], rate = ARGV[9]},
                {key = KEYS[6], word = 'task', burst = ARGV[10], rate = ARGV[11]}}
local most = tonumber(ARGV[16])
local wait, word = 0, ''
if most then
  -- The delivery that had the claim before is over, or its worker is gone: its place is free.
  if claim[2] and claim[2] ~= '' then place_give_back(KEYS[7], place_name(claim[2], claim[3], ARGV[18])) end
  if not place_is_free(KEYS[7], most, now, beats) then wait, word = PLACE_WAIT, 'concurrency' end
end
for _, limit in ipairs(limits) do
  if limit.burst ~= '' then
    limit.max = bucket_number(limit.burst, limit.word .. ' burst')
    limit.refill = bucket_number(limit.rate, limit.word .. ' rate')
    limit.tokens, limit.at = bucket_at(limit.key, limit.max, limit.refill)
    local this = bucket_wait(limit.tokens, limit.max, limit.refill, 1)
    if this < 0 then error({err = 'ERR rate limit: ' .. limit.word .. ' burst and rate never allow a job'}) end
    if this > wait then wait, word = this, limit.word end
  end
end
if wait > 0 then return {'wait', wait, word} end
for _, limit in ipairs(limits) do
  if limit.burst ~= '' then
    bucket_take(limit.key, limit.tokens, limit.max, limit.refill, 1, limit.at)
  end
end
if most then
  place_take(KEYS[7], place_name(ARGV[1], ARGV[2], ARGV[18]), now, tonumber(ARGV[17]))
  -- Before a worker's first heartbeat nobody else may take it for gone.
  redis.call('SET', ARGV[13] .. ARGV[1], '{}', 'PX', ARGV[14], 'NX')
end

redis.call('HSET', KEYS[1], 'attempt', ARGV[3], 'owner', ARGV[1], 'delivery', ARGV[2], 'started', now)
redis.call('PEXPIRE', KEYS[1], ARGV[12])
return {'run', now, ''}
