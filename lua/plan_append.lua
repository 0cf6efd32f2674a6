-- Append users to the slot lists of an occurrence and move its cursor with them: compare and set.
--
-- KEYS[1]  lease   KEYS[2]  occurrence (HASH)   KEYS[3]  planning lock
-- KEYS[4]  held due work (ZSET)   KEYS[5]  instants of the held (HASH)   KEYS[6..]  slot lists
-- ARGV[1]  token        ARGV[2]  cursor as it was read   ARGV[3]  new cursor
-- ARGV[4]  1: that was the last piece
-- ARGV[5]  milliseconds the lists are kept, if the record is not kept for longer
-- ARGV[6]  milliseconds the planning lock is kept
-- ARGV[7]  1: the first slot list is begun here, as all others are. What stands in one that is begun is none of ours
-- ARGV[8..] per slot list: number of users, then the users
-- Returns  the users planned so far, or -1 when the cursor had moved. O(users).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type
--@ include finish.lua#count_ends

require_lease(KEYS[1], ARGV[1])
require_type(KEYS[2], 'hash')
require_type(KEYS[3], 'string')
for index = 6, #KEYS do
  require_type(KEYS[index], 'list')
end
if redis.call('HGET', KEYS[2], 'cursor') ~= ARGV[2] then return -1 end

local kept = math.max(tonumber(ARGV[5]), redis.call('PTTL', KEYS[2]))
local argument, added = 8, 0
for index = 6, #KEYS do
  if index > 6 or ARGV[7] == '1' then redis.call('UNLINK', KEYS[index]) end
  local count = tonumber(ARGV[argument])
  for user = argument + 1, argument + count do
    redis.call('RPUSH', KEYS[index], ARGV[user])
  end
  redis.call('PEXPIRE', KEYS[index], kept)
  argument, added = argument + 1 + count, added + count
end
redis.call('HSET', KEYS[2], 'cursor', ARGV[3])
local planned = redis.call('HINCRBY', KEYS[2], 'planned', added)
if ARGV[4] == '1' then
  redis.call('HSET', KEYS[2], 'state', 'planned')
  -- Its jobs may have ended before it was planned to the end, or it has none.
  count_ends(KEYS[2], KEYS[4], KEYS[5], 0)
  if redis.call('GET', KEYS[3]) == ARGV[1] then redis.call('DEL', KEYS[3]) end
else
  redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[6])
end
return planned
