-- Take the leader's lease, unless somebody has it. SET alone could do that; but whoever may not run scripts can do
-- nothing with the lease, and must leave it to others.
--
-- KEYS[1]  the lease (STRING: the leader's token)
-- ARGV[1]  token
-- ARGV[2]  milliseconds to take it for
-- Returns  1, or 0 when somebody has it. O(1).

return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
