-- Note that the instant of an occurrence has come: raise the task's last execution, never lower it.
--
-- KEYS[1]  lease   KEYS[2]  occurrence (HASH)   KEYS[3]  last execution (STRING, RFC 3339 with whole seconds)
-- ARGV[1]  token   ARGV[2]  the instant, RFC 3339
-- Returns  1. O(1).

--@ include lease.lua#lease

require_lease(KEYS[1], ARGV[1])
local last = redis.call('GET', KEYS[3])
if not last or last < ARGV[2] then redis.call('SET', KEYS[3], ARGV[2]) end
-- A record that has expired stays gone: half of one could not be read.
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('HSET', KEYS[2], 'opened', '1') end
return 1
