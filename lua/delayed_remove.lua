-- Remove waiting jobs that were published and confirmed, unless they were put back in the meantime.
--
-- KEYS[1]  lease   KEYS[2]  waiting jobs (ZSET)   KEYS[3..]  each waiting job (HASH)
-- ARGV[1]  token   ARGV[2..]  per job: job id, generation that was published
-- Returns  how many were removed. O(jobs · log waiting).

--@ include lease.lua#lease

require_lease(KEYS[1], ARGV[1])
local removed = 0
for index = 3, #KEYS do
  local argument = 2 + (index - 3) * 2
  local generation = redis.call('HGET', KEYS[index], 'generation')
  if not generation or generation == ARGV[argument + 1] then
    removed = removed + redis.call('ZREM', KEYS[2], ARGV[argument])
    redis.call('DEL', KEYS[index])
  end
end
return removed
