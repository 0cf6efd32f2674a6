-- Show that a process lives, and forget those that have been silent for long.
--
-- KEYS[1]  processes of its kind (ZSET: process by its last beat, unix ms)
-- KEYS[2]  what each says of itself (HASH: process to JSON)
-- KEYS[3]  since when some process of any kind has beaten without a pause, unix ms
-- ARGV[1]  process   ARGV[2]  what it says, JSON   ARGV[3]  milliseconds after which a silent one is forgotten
-- ARGV[4]  milliseconds without any beat that are a pause
-- Returns  1. O(log processes), and O(1) for each that is forgotten.

--@ include set_aside.lua#require_type

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- Claims hang on it (places.lua), so whatever has become of the other keys does not keep it from being written. One that
-- makes no sense, or is of later than now because the clock was set back, begins anew. It is set each time, where PEXPIRE
-- would do: a Redis that is out of memory then refuses it, as it refuses heartbeats.
local since = tonumber(redis.pcall('GET', KEYS[3]))
if not (since and since <= now) then since = now end
redis.call('SET', KEYS[3], string.format('%.0f', since), 'PX', ARGV[4])

require_type(KEYS[1], 'zset')
require_type(KEYS[2], 'hash')
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
