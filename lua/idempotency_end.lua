-- End a request that has an Idempotency-Key: keep its answer, or forget it where it had no effect.
--
-- KEYS[1]  the request (HASH: as in idempotency_begin.lua)
-- ARGV[1]  fingerprint of method, path and body
-- ARGV[2]  holder: whoever began it
-- ARGV[3]  milliseconds for which the answer is kept
-- ARGV[4]  the answer; empty: forget the request, unless a holder before this one may have done it
-- Returns  1 when it was kept or forgotten, 0 where it is somebody else's by now
-- O(1). Harmless when run twice.

local held = redis.call('HMGET', KEYS[1], 'fingerprint', 'holder', 'repeated')
if held[1] and (held[1] ~= ARGV[1] or held[2] ~= ARGV[2]) then
  return 0
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'holder', ARGV[2], 'answer', ARGV[4])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
elseif held[3] then
  redis.call('HSET', KEYS[1], 'held_until', '0')
else
  redis.call('DEL', KEYS[1])
end
return 1
