-- Remove waiting jobs that were published and confirmed, unless they were put back in the meantime.
--
-- KEYS[1]  lease   KEYS[2]  limits that have a list (SET)   KEYS[3]  jobs that wait for their time (ZSET)
-- KEYS[4]  the list they were read from: KEYS[3], or that of a limit   KEYS[5..]  each waiting job (HASH)
-- ARGV[1]  token   ARGV[2..]  per job: job id, generation that was published
-- Returns  how many were removed. O(jobs · log waiting).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type
--@ include delayed_move.lua#lists

require_lease(KEYS[1], ARGV[1])
require_type(KEYS[2], 'set')
require_type(KEYS[3], 'zset')
require_type(KEYS[4], 'zset')
for index = 5, #KEYS do require_type(KEYS[index], 'hash') end
local removed = 0
for index = 5, #KEYS do
  local argument = 2 + (index - 5) * 2
  local job, job_id = KEYS[index], ARGV[argument]
  local generation = redis.call('HGET', job, 'generation')
  if not generation or list_of(job, KEYS[3]) ~= KEYS[4] then
    -- Nothing but the line in this list is left of it: the job is gone, or waits elsewhere.
    removed = removed + list_leave(KEYS[2], KEYS[4], job_id)
  elseif generation == ARGV[argument + 1] then
    removed = removed + list_leave(KEYS[2], KEYS[4], job_id)
    redis.call('DEL', job)
  end
end
return removed
