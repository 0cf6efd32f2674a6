-- Count one request of a token against its quota.
--
-- KEYS[1]  the token's bucket (HASH: tokens, last_refill)
-- ARGV[1]  burst        requests at once
-- ARGV[2]  refill_rate  requests per second
-- Returns  {1 when the request may pass, requests that may still pass at once, milliseconds until the next one may (0:
--          now), milliseconds until the quota is whole again}
-- O(1). Never run twice for one request: it would count twice.

--@ include rate_limit.lua#bucket

local burst = bucket_number(ARGV[1], 'burst')
local refill_rate = bucket_number(ARGV[2], 'refill_rate')

local tokens, at = bucket_at(KEYS[1], burst, refill_rate)
local wait = bucket_wait(tokens, burst, refill_rate, 1)
if wait == 0 then
  bucket_take(KEYS[1], tokens, burst, refill_rate, 1, at)
  tokens = math.max(0, tokens - 1)
end
return {wait == 0 and 1 or 0, math.floor(tokens + 1e-9), bucket_wait(tokens, burst, refill_rate, 1),
  bucket_wait(tokens, burst, refill_rate, burst)}
