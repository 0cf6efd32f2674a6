-- Raise the due instant of the last job put into taskqueue.jobs.delayed, before more are put there.
--
-- KEYS[1]  lease   KEYS[2]  lane tail (STRING, unix ms)
-- ARGV[1]  token   ARGV[2]  unix ms   ARGV[3]  milliseconds it is kept
-- Returns  the tail that stands now. O(1).

--@ include lease.lua#lease
--@ include set_aside.lua#require_type

require_lease(KEYS[1], ARGV[1])
require_type(KEYS[2], 'string')
-- What is no number says nothing.
local tail = tonumber(redis.call('GET', KEYS[2]) or 0) or 0
if tonumber(ARGV[2]) > tail then
  tail = tonumber(ARGV[2])
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
return tail
