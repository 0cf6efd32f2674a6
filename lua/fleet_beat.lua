-- Show that a process lives, and forget those that have been silent for long.
--
-- KEYS[1]  processes of its kind (ZSET: process by its last beat, unix ms)
-- KEYS[2]  what each says of itself (HASH: process to JSON)
-- ARGV[1]  process   ARGV[2]  what it says, JSON   ARGV[3]  milliseconds after which a silent one is forgotten
-- Returns  1. O(log processes), and O(1) for each that is forgotten.

--@ include set_aside.lua#require_type

require_type(KEYS[1], 'zset')
require_type(KEYS[2], 'hash')
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
for _, silent in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]), 'LIMIT', 0, 1000)) do
  redis.call('ZREM', KEYS[1], silent)
  redis.call('HDEL', KEYS[2], silent)
end
-- Without any process left, nothing stays.
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
