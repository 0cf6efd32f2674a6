-- Write a new token. An id that is taken is left alone.
--
-- KEYS[1]  the token (HASH)   KEYS[2]  ids of all tokens (SET)
-- ARGV[1]  id of the token    ARGV[2...]  fields and values
-- Returns  1 when it was written, 0 when the id is taken. O(fields).

if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
return 1
