-- Put a job back to wait: for its next attempt (a retry) or for the same one (a park). Harmless when asked again.
-- A stored job gets a new generation each time, so that the leader removes only what it has published.
--
-- KEYS[1]  claim   KEYS[2]  done marker   KEYS[3]  jobs that wait for their time (ZSET: job id by unix ms)
-- KEYS[4]  the waiting job (HASH: message, attempt, generation, list, place)   KEYS[5]  execution (STRING, JSON)
-- KEYS[6]  places of the task (ZSET)       KEYS[7]  limits that have a list (SET)
-- KEYS[8]  where it is to wait: KEYS[3], or the list of a limit (ZSET: job id by place)
-- KEYS[9]  cancel mark
--          only for a run of an API task:
-- KEYS[10] record of the task (HASH)
--          behind all others, with a trail: attempts (LIST, JSON), log lines (LIST, JSON)
--          or, of a park that is noted: what the job waited for (LIST, JSON)
-- ARGV[1]  incarnation   ARGV[2]  delivery   ARGV[3]  attempt of the message in hand
-- ARGV[4]  attempt to run next: one more for a retry, the same for a park
-- ARGV[5]  when, unix ms                   ARGV[6]  message
-- ARGV[7]  job id                          ARGV[8]  milliseconds the claim is kept, counted from then or now
-- ARGV[9]  execution as JSON, or empty     ARGV[10] milliseconds it is kept
-- ARGV[11] place in the list of any limit  ARGV[12] milliseconds the job is kept, counted as the claim's
-- ARGV[13] 1: a run of an API task; empty: any other job
-- ARGV[14] what is noted beside it: "trail", "wait", or nothing
--          with a trail:
-- ARGV[15] the attempt as JSON             ARGV[16...] log lines as JSON
--          or, of a park that is noted:
-- ARGV[15] what it waits for, as JSON      ARGV[16] milliseconds that is kept
-- Returns  "stored", or why nothing was: "done", "stale" (a later attempt exists), "lost" (somebody else runs it),
-- "cancelled" (there shall be no other attempt; its end is still to be written).
-- O(log waiting).

--@ include delayed_move.lua#lists
--@ include delayed_move.lua#waits
--@ include places.lua#place
--@ include finish.lua#trail

place_give_back(KEYS[6], place_name(ARGV[1], ARGV[2], ARGV[7]))
if redis.call('EXISTS', KEYS[2]) == 1 then return 'done' end

local attempt, following = tonumber(ARGV[3]), tonumber(ARGV[4])
local claim = redis.call('HMGET', KEYS[1], 'attempt', 'owner', 'delivery')
if claim[1] and attempt < tonumber(claim[1]) then
  -- The same question again, after its answer was lost: only the retry of this attempt asks for just that one.
  return tonumber(claim[1]) == following and claim[2] == '' and 'stored' or 'stale'
end
local waiting = tonumber(redis.call('HGET', KEYS[4], 'attempt') or 0)
if waiting > following then return 'stale' end

-- What waits longer than that must still be there when its time comes.
local time = redis.call('TIME')
local kept_from = math.max(tonumber(time[1]) * 1000, tonumber(ARGV[5]))

local mine = claim[2] == ARGV[1] and claim[3] == ARGV[2]
if following > attempt then
  -- A claim that is gone was lost with Redis, not taken by somebody: the result in hand is the only one there is.
  if claim[2] and claim[2] ~= '' and not mine then return 'lost' end
  if redis.call('EXISTS', KEYS[9]) == 1 then return 'cancelled' end
  mine = true
end
if mine then
  redis.call('HSET', KEYS[1], 'attempt', following, 'owner', '', 'delivery', '')
  redis.call('PEXPIREAT', KEYS[1], kept_from + tonumber(ARGV[8]))
end

local before = list_of(KEYS[4], KEYS[3])
if before ~= KEYS[8] then list_leave(KEYS[7], before, ARGV[7]) end
redis.call('HSET', KEYS[4], 'message', ARGV[6], 'attempt', following, 'list', KEYS[8], 'place', ARGV[11])
redis.call('HINCRBY', KEYS[4], 'generation', 1)
redis.call('PEXPIREAT', KEYS[4], kept_from + tonumber(ARGV[12]))
list_enter(KEYS[7], KEYS[8], ARGV[7], KEYS[8] == KEYS[3] and ARGV[5] or ARGV[11])
if ARGV[9] ~= '' then
  redis.call('SET', KEYS[5], ARGV[9], 'PX', ARGV[10])
end
-- The task counts the retries of its latest run.
if ARGV[13] ~= '' and following > attempt and redis.pcall('HGET', KEYS[10], 'last_execution') == ARGV[7] then
  redis.call('HSET', KEYS[10], 'retry_count', following - 1)
end
if ARGV[14] == 'trail' then
  leave_trail(KEYS[#KEYS - 1], KEYS[#KEYS], 15, ARGV[10])
elseif ARGV[14] == 'wait' then
  note_wait(KEYS[#KEYS], ARGV[15], ARGV[16])
end
return 'stored'
