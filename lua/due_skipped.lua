-- Note instants of cohorts that were left out or passed over, for whoever asks why nothing ran; the latest are kept.
--
-- KEYS[1]  lease   KEYS[2..]  what each cohort has skipped (LIST, JSON)
-- ARGV[1]  token   ARGV[2]  milliseconds it is kept   ARGV[3]  entries that are kept of a cohort
-- ARGV[4..] per key: the entry
-- Returns  1. Harmless when asked again. O(keys).

--@ include lease.lua#lease

require_lease(KEYS[1], ARGV[1])
for index = 2, #KEYS do
  local list, entry = KEYS[index], ARGV[index + 2]
  -- A key that holds another type must not keep the leader from its work.
  if redis.pcall('LINDEX', list, -1) ~= entry and type(redis.pcall('RPUSH', list, entry)) == 'number' then
    redis.call('LTRIM', list, -tonumber(ARGV[3]), -1)
    redis.call('PEXPIRE', list, ARGV[2])
  end
end
return 1
