-- Take an occurrence whose users are all released off the live ones, and free the plain slot lists if it had them.
--
-- KEYS[1]  lease   KEYS[2]  occurrence (HASH)   KEYS[3]  live occurrences (ZSET)   KEYS[4]  owners of plain slot lists
-- ARGV[1]  token   ARGV[2]  member of the live occurrences   ARGV[3]  task id   ARGV[4]  occurrence id
-- ARGV[5]  milliseconds the record is kept from here on; one that others wait for or yield to, for as long as before
-- Returns  1, or 0 when it is not planned or not released to the end. O(log live).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type

require_lease(KEYS[1], ARGV[1])
require_type(KEYS[2], 'hash')
require_type(KEYS[3], 'zset')
require_type(KEYS[4], 'hash')
local record = redis.call('HMGET', KEYS[2], 'state', 'planned', 'released', 'counted_for')
-- One that was closed before may have been put among the live ones again, by another hand.
if record[1] and (record[1] == 'planning' or tonumber(record[3]) < tonumber(record[2])) then return 0 end
redis.call('ZREM', KEYS[3], ARGV[2])
if redis.call('HGET', KEYS[4], ARGV[3]) == ARGV[4] then redis.call('HDEL', KEYS[4], ARGV[3]) end
if record[1] then
  redis.call('HSET', KEYS[2], 'state', 'released')
  if not record[4] then redis.call('PEXPIRE', KEYS[2], ARGV[5], 'LT') end
end
return 1
