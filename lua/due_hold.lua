-- Let a due entry wait until exactly its instant: compare and set.
--
-- KEYS[1]  lease   KEYS[2]  due work (ZSET)   KEYS[3]  held due work (ZSET: member by when to look at it, unix ms)
-- KEYS[4]  instants of the held (HASH: member -> unix ms, with ":waited" behind it once it found another running)
-- ARGV[1]  token   ARGV[2]  member   ARGV[3]  its score as it was read
-- Returns  1, or 0 when the entry had moved already. O(log due).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type

require_lease(KEYS[1], ARGV[1])
require_type(KEYS[2], 'zset')
require_type(KEYS[3], 'zset')
require_type(KEYS[4], 'hash')
local score = redis.call('ZSCORE', KEYS[2], ARGV[2])
-- Somebody else may have written it with a fraction, which instants here have not.
if not score or math.floor(tonumber(score)) ~= tonumber(ARGV[3]) then return 0 end
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('HSET', KEYS[4], ARGV[2], ARGV[3])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[2])
return 1
