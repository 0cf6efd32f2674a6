-- Note that a token was used, unless that was noted a short while ago.
--
-- KEYS[1]  the token (HASH)
-- ARGV[1]  when, unix ms    ARGV[2]  milliseconds between two notes
-- Returns  1 when it was noted, else 0. O(1).

local before = redis.call('HGET', KEYS[1], 'last_used_at')
if not before or (before ~= '' and tonumber(before) + tonumber(ARGV[2]) > tonumber(ARGV[1])) then return 0 end
redis.call('HSET', KEYS[1], 'last_used_at', ARGV[1])
return 1
