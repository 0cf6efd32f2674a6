-- Let a token hold no more, with all its secrets. The first revocation counts.
--
-- KEYS[1]  the token (HASH)
-- ARGV[1]  when, unix ms    ARGV[2]  milliseconds for which a revoked token is still shown
-- Returns  the fields and values of the token as it is now; empty when there is none. O(fields).

if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
if redis.call('HGET', KEYS[1], 'revoked_at') == '' then
  redis.call('HSET', KEYS[1], 'revoked_at', ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return redis.call('HGETALL', KEYS[1])
