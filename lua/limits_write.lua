-- Replace the limits that workers hold.
--
-- KEYS[1]  limits (HASH: limit -> JSON)
-- ARGV[1]  milliseconds they are kept   ARGV[2..]  per limit: its name, its JSON
-- Returns  how many there are now. O(limits).

redis.call('DEL', KEYS[1])
if #ARGV == 1 then return 0 end
for index = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return redis.call('HLEN', KEYS[1])
