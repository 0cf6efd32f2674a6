-- Append users of a manual trigger to its own slot lists; with the last piece the occurrence becomes visible.
--
-- KEYS[1]  occurrence (HASH)   KEYS[2]  live occurrences (ZSET)   KEYS[3..]  slot lists
-- ARGV[1]  1: that is the last piece    ARGV[2]  milliseconds record and lists are kept
-- ARGV[3]  member of the live occurrences   ARGV[4]  first due instant, unix ms
-- ARGV[5]  users in the pieces before this one
-- ARGV[6]  number of fields and values of the record   then: those, then per slot list: number of users, the users
-- Returns  1, or 0 when this piece was there already: asked again, it is not appended again. O(users).
-- No lease is needed: the lists belong to this trigger alone until the record names them.

--@ include set_aside.lua#require_type

require_type(KEYS[1], 'hash')
require_type(KEYS[2], 'zset')
for index = 3, #KEYS do
  require_type(KEYS[index], 'list')
end

if (redis.call('HGET', KEYS[1], 'planned') or '0') ~= ARGV[5] then return 0 end

local fields = tonumber(ARGV[6])
local argument, added = 7 + fields, 0
for index = 3, #KEYS do
  local count = tonumber(ARGV[argument])
  for user = argument + 1, argument + count do
    redis.call('RPUSH', KEYS[index], ARGV[user])
  end
  redis.call('PEXPIRE', KEYS[index], ARGV[2])
  argument, added = argument + 1 + count, added + count
end
redis.call('HSET', KEYS[1], 'planned', tonumber(ARGV[5]) + added)
if ARGV[1] == '1' then
  redis.call('HSET', KEYS[1], unpack(ARGV, 7, 6 + fields))
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
