-- Token bucket: take `requested` tokens, or none.
--
-- KEYS[1]  the bucket (HASH: tokens, last_refill)
-- ARGV[1]  max_tokens   capacity, in tokens
-- ARGV[2]  refill_rate  tokens per second
-- ARGV[3]  requested    tokens to take
-- ARGV[4]  now          unix seconds; empty: the time of the Redis server
-- ARGV[5]  optional "wait": answer with the wait as well
-- Returns  1 when the tokens were taken, else 0;
--          with "wait": {taken, milliseconds until they could be taken, -1 for never}
-- O(1). An unknown bucket is full. Time never runs backwards, but for the server's clock when it is set back: the bucket
-- gains nothing by it and fills from there. A bucket expires only once it would be full anyway.

-- [bucket
-- Numbers are kept with 17 digits: Lua's own 14 would round unix seconds to a tenth of a millisecond and lose tokens.
local function precise(number)
  return string.format('%.17g', number)
end

local function bucket_number(text, name)
  local number = tonumber(text)
  if not number or number ~= number or number < 0 or number == math.huge then
    error({err = 'ERR rate limit: ' .. name .. ' must be a number of at least 0'})
  end
  return number
end

local function server_seconds()
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- Seconds by which the clocks of those who share a bucket may differ.
local CLOCKS_DIFFER = 5

-- Return the bucket as it is at `now`: tokens in it, and the instant that holds for (never before the last one).
-- Without `now` it is the server's time. A bucket that is further ahead of that was filled while the server's clock was:
-- it would stay as it is until the clock is there again.
local function bucket_at(key, max_tokens, refill_rate, now)
  local bucket = redis.call('HMGET', key, 'tokens', 'last_refill')
  local at = now or server_seconds()
  local tokens = tonumber(bucket[1]) or max_tokens
  local last_refill = tonumber(bucket[2]) or at
  if not now and last_refill - at > CLOCKS_DIFFER then
    redis.call('HSET', key, 'last_refill', precise(at))
    last_refill = at
  end
  at = math.max(at, last_refill)
  return math.min(max_tokens, tokens + (at - last_refill) * refill_rate), at
end

-- Return the milliseconds until `requested` tokens are there: 0 now, -1 never.
local function bucket_wait(tokens, max_tokens, refill_rate, requested)
  -- The sum of many refills may miss a whole token by rounding alone; a billionth of one is not worth a wait.
  if tokens + 1e-9 >= requested then return 0 end
  if requested > max_tokens or refill_rate <= 0 then return -1 end
  -- A wait of 285 thousand years is the longest that a float tells to the millisecond.
  return math.min(9007199254740992, math.max(1, math.ceil((requested - tokens) / refill_rate * 1000)))
end

local function bucket_take(key, tokens, max_tokens, refill_rate, requested, now)
  tokens = math.max(0, tokens - requested)
  redis.call('HSET', key, 'tokens', precise(tokens), 'last_refill', precise(now))
  if refill_rate > 0 then
    redis.call('EXPIRE', key, math.min(2000000000, math.max(3600, math.ceil((max_tokens - tokens) / refill_rate) + 1)))
  else
    redis.call('PERSIST', key)
  end
end
-- bucket]

local max_tokens = bucket_number(ARGV[1], 'max_tokens')
local refill_rate = bucket_number(ARGV[2], 'refill_rate')
local requested = bucket_number(ARGV[3], 'requested')
local now = nil
if ARGV[4] and ARGV[4] ~= '' then now = bucket_number(ARGV[4], 'now') end

local tokens, at = bucket_at(KEYS[1], max_tokens, refill_rate, now)
local wait = bucket_wait(tokens, max_tokens, refill_rate, requested)
if wait == 0 then
  bucket_take(KEYS[1], tokens, max_tokens, refill_rate, requested, at)
end
local taken = wait == 0 and 1 or 0
if ARGV[5] == 'wait' then
  return {taken, wait}
end
return taken
