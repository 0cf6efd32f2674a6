-- Delete slot lists of an occurrence whose jobs are not to be released any more, and with the last of them its record.
--
-- KEYS[1]  lease   KEYS[2]  occurrence (HASH)   KEYS[3]  live occurrences (ZSET)   KEYS[4]  owners of plain slot lists
-- KEYS[5..]  slot lists
-- ARGV[1]  token   ARGV[2]  member of the live occurrences   ARGV[3]  task id   ARGV[4]  occurrence id
-- ARGV[5]  1: these are the last lists
-- Returns  1. O(lists).

--@ include lease.lua#lease

require_lease(KEYS[1], ARGV[1])
for index = 5, #KEYS do
  redis.call('UNLINK', KEYS[index])
end
if ARGV[5] == '1' then
  redis.call('DEL', KEYS[2])
  redis.call('ZREM', KEYS[3], ARGV[2])
  if redis.call('HGET', KEYS[4], ARGV[3]) == ARGV[4] then redis.call('HDEL', KEYS[4], ARGV[3]) end
end
return 1
