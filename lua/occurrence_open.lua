-- Note that the instant of an occurrence has come: raise the task's last execution, never lower it.
--
-- KEYS[1]  lease   KEYS[2]  occurrence (HASH)   KEYS[3]  last execution (STRING, RFC 3339 with whole seconds)
-- ARGV[1]  token   ARGV[2]  the instant, RFC 3339
-- Returns  1; 0 when the occurrence does not exist any more. O(1).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type

require_lease(KEYS[1], ARGV[1])
require_type(KEYS[2], 'hash')
require_type(KEYS[3], 'string')
-- An occurrence that was abandoned is none, and half a record could not be read.
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
local last = redis.call('GET', KEYS[3])
if not last or last < ARGV[2] then redis.call('SET', KEYS[3], ARGV[2]) end
redis.call('HSET', KEYS[2], 'opened', '1')
return 1
