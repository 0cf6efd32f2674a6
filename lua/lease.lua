-- The leader's lease: keep it, or give it back.
--
-- KEYS[1]  the lease (STRING: the leader's token)
-- ARGV[1]  token
-- ARGV[2]  milliseconds to keep it for; 0 gives it back
-- Returns  1; the error LEASELOST when somebody else holds it, or nobody. O(1).

-- [lease
-- Stop the script unless the lease holds `token`: what follows may be written by the leader alone.
local function require_lease(key, token)
  if redis.call('GET', key) ~= token then
    error({err = 'LEASELOST the lease does not hold this token'})
  end
end
-- lease]

require_lease(KEYS[1], ARGV[1])
if tonumber(ARGV[2]) > 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
else
  redis.call('DEL', KEYS[1])
end
return 1
