-- Put back among the due tasks what is to run and stands in neither list of such tasks, for somebody has lost it. One
-- piece of the tasks with a status is looked at; those of the file, which the planner lets run, have no instant there.
--
-- KEYS[1]  lease   KEYS[2]  due tasks (ZSET: id by unix ms)   KEYS[3]  waiting tasks (ZSET: id by since when, unix ms)
-- KEYS[4]  the tasks with that status, scheduled or waiting (ZSET)
-- ARGV[1]  token   ARGV[2]  prefix of records
-- ARGV[3]  where the piece begins: 0, or what the piece before it has returned   ARGV[4]  tasks in a piece, about
-- Returns  {where the next piece begins, or 0 after the last; how many were put back}.
--          Harmless when asked again. O(tasks in the piece · log due tasks).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type

require_lease(KEYS[1], ARGV[1])
for index = 2, 4 do require_type(KEYS[index], 'zset') end
local due, waiting = KEYS[2], KEYS[3]
local piece = redis.call('ZSCAN', KEYS[4], ARGV[3], 'COUNT', ARGV[4])
local put_back = 0
for index = 1, #piece[2], 2 do
  local id = piece[2][index]
  local known = redis.pcall('HMGET', ARGV[2] .. id, 'status', 'next_at')
  local instant = not known.err and string.match(known[2] or '', '^%d+$')
  if instant and (known[1] == 'scheduled' or (known[1] == 'waiting' and not redis.call('ZSCORE', waiting, id))) then
    put_back = put_back + redis.call('ZADD', due, 'NX', instant, id)
  end
end
return {piece[1], put_back}
