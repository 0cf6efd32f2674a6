-- Take published users off the head of a slot list, if the head is still what was published.
--
-- KEYS[1]  lease   KEYS[2]  occurrence (HASH)   KEYS[3]  slot list   KEYS[4]  live occurrences (ZSET)
-- ARGV[1]  token   ARGV[2]  member of the live occurrences   ARGV[3]  users released before
-- ARGV[4]  how many to take off   ARGV[5]  the first of them; empty: the list itself is gone, pass its users over
-- ARGV[6]  when the next one is due, unix ms
-- Returns  1, or 0 when somebody else was here. O(users).

--@ include lease.lua#lease

require_lease(KEYS[1], ARGV[1])
if redis.call('HGET', KEYS[2], 'released') ~= ARGV[3] then return 0 end
if (redis.call('LINDEX', KEYS[3], 0) or '') ~= ARGV[5] then return 0 end
redis.call('LTRIM', KEYS[3], ARGV[4], -1)
redis.call('HINCRBY', KEYS[2], 'released', ARGV[4])
redis.call('ZADD', KEYS[4], 'XX', ARGV[6], ARGV[2])
return 1
