-- Begin a request that has an Idempotency-Key, unless it was done or runs now.
--
-- KEYS[1]  the request (HASH: fingerprint, nonce, holder, held_until; repeated once another holder took it over; answer
--          once it is done)
-- ARGV[1]  fingerprint of method, path and body
-- ARGV[2]  holder: a random word of whoever asks
-- ARGV[3]  milliseconds after which a holder counts as gone
-- ARGV[4]  nonce: a random word, for a request that is new
-- ARGV[5]  milliseconds for which the request is remembered
-- Returns  {'begun', nonce}: the one that it was first begun with; {'running', milliseconds until its holder counts as
--          gone}; {'other'} where the key stands for another request; or {'done', answer}
-- O(1). Asked again by the same holder it answers the same.

local held = redis.call('HMGET', KEYS[1], 'fingerprint', 'holder', 'answer', 'held_until', 'nonce')
if held[1] and held[1] ~= ARGV[1] then
  return {'other'}
end
if held[3] then
  return {'done', held[3]}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local has_other_holder = held[2] and held[2] ~= ARGV[2]
local held_until = tonumber(held[4] or '') or 0
if has_other_holder and held_until > now then
  return {'running', held_until - now}
end
if has_other_holder then
  redis.call('HSET', KEYS[1], 'repeated', '1')
end
local nonce = held[5] or ARGV[4]
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'holder', ARGV[2], 'nonce', nonce,
  'held_until', string.format('%.0f', now + ARGV[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {'begun', nonce}
