-- Let all held due work be looked at again from its instant on, whatever it was to wait for.
--
-- KEYS[1]  lease   KEYS[2]  held due work (ZSET)   KEYS[3]  instants of the held (HASH)
-- ARGV[1]  token   ARGV[2]  the latest instant that there is, unix ms
-- One whose instant is none is held no more: its rule then shows that it is lost.
-- Returns  how many are held. O(held · log held).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type

require_lease(KEYS[1], ARGV[1])
require_type(KEYS[2], 'zset')
require_type(KEYS[3], 'hash')
local held = redis.call('HGETALL', KEYS[3])
for index = 1, #held, 2 do
  local instant = string.match(held[index + 1], '^(%d+)$') or string.match(held[index + 1], '^(%d+):waited$')
  if instant and #instant <= #ARGV[2] and tonumber(instant) <= tonumber(ARGV[2]) then
    redis.call('ZADD', KEYS[2], instant, held[index])
  else
    redis.call('HDEL', KEYS[3], held[index])
  end
end
return #held / 2
