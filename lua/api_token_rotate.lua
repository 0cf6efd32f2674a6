-- Give a token a new secret; the present one holds for a while more. The one before that is over at once.
--
-- KEYS[1]  the token (HASH)
-- ARGV[1]  digest of the new secret    ARGV[2]  now, unix ms
-- ARGV[3]  until when the present secret holds, unix ms
-- ARGV[4]  when the token expires, unix ms; empty: as before
-- Returns  {word, fields and values as they are now}, and has changed something only with "rotated"; else "unknown",
--          "revoked" or "expired". O(fields).

if redis.call('EXISTS', KEYS[1]) == 0 then return {'unknown', {}} end
local digest, revoked, expires = unpack(redis.call('HMGET', KEYS[1], 'digest', 'revoked_at', 'expires_at'))
if revoked ~= '' then return {'revoked', redis.call('HGETALL', KEYS[1])} end
if ARGV[4] ~= '' then expires = ARGV[4] end
if expires ~= '' and tonumber(expires) <= tonumber(ARGV[2]) then return {'expired', redis.call('HGETALL', KEYS[1])} end

redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'previous_digest', digest, 'previous_until', ARGV[3],
  'rotated_at', ARGV[2], 'expires_at', expires)
return {'rotated', redis.call('HGETALL', KEYS[1])}
