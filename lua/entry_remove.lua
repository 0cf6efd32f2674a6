-- Take an entry that makes no sense out of a list of the leader's.
--
-- KEYS[1]  lease   KEYS[2]  the list (ZSET)
-- ARGV[1]  token   ARGV[2]  the entry
-- Returns  1, or 0 when it does not stand there. O(log entries).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type

require_lease(KEYS[1], ARGV[1])
require_type(KEYS[2], 'zset')
return redis.call('ZREM', KEYS[2], ARGV[2])
