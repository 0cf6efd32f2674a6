-- Take published users off the head of a slot list, if the head is still what was published.
--
-- KEYS[1]  lease   KEYS[2]  occurrence (HASH)   KEYS[3]  slot list   KEYS[4]  live occurrences (ZSET)
-- KEYS[5]  held due work (ZSET)   KEYS[6]  instants of the held (HASH)
-- ARGV[1]  token   ARGV[2]  member of the live occurrences   ARGV[3]  users released before
-- ARGV[4]  how many to take off   ARGV[5]  the first of them; empty: the list itself is gone, pass its users over
-- ARGV[6]  when the next one is due, unix ms   ARGV[7]  how many of them have no job
-- Returns  1, or 0 when somebody else was here. O(users).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type
--@ include finish.lua#count_ends

require_lease(KEYS[1], ARGV[1])
require_type(KEYS[2], 'hash')
require_type(KEYS[3], 'list')
require_type(KEYS[4], 'zset')
if redis.call('HGET', KEYS[2], 'released') ~= ARGV[3] then return 0 end
if (redis.call('LINDEX', KEYS[3], 0) or '') ~= ARGV[5] then return 0 end
redis.call('LTRIM', KEYS[3], ARGV[4], -1)
redis.call('HINCRBY', KEYS[2], 'released', ARGV[4])
redis.call('ZADD', KEYS[4], 'XX', ARGV[6], ARGV[2])
if tonumber(ARGV[7]) > 0 then count_ends(KEYS[2], KEYS[5], KEYS[6], ARGV[7]) end
return 1
