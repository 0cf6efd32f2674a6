-- Let go of a request that has an Idempotency-Key, of which nobody knows whether it was done: it may be sent again.
--
-- KEYS[1]  the request (HASH: as in idempotency_begin.lua)
-- ARGV[1]  fingerprint of method, path and body
-- ARGV[2]  holder: whoever began it
-- ARGV[3]  milliseconds after which the holder counts as gone
-- Returns  1; 0 where it is done, or somebody else's by now
-- O(1). Harmless when run twice.

local held = redis.call('HMGET', KEYS[1], 'fingerprint', 'holder', 'answer')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] or held[3] then
  return 0
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[1], 'held_until', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3]))
return 1
