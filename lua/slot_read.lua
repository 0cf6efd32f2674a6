-- Read the next users of a slot list, with the parameters each has set for the task.
--
-- KEYS[1]  slot list
-- ARGV[1]  how many users   ARGV[2]  prefix and ARGV[3]  suffix of the key of a user's settings
-- ARGV[4]  bytes of parameters that a message may carry
-- Returns  {user, parameters, user, parameters, ...}; parameters empty where there are none, nil where there are more
-- than a message may carry. O(users).

--@ include set_aside.lua#require_type

require_type(KEYS[1], 'list')
local answer = {}
for _, user in ipairs(redis.call('LRANGE', KEYS[1], 0, tonumber(ARGV[1]) - 1)) do
  local settings = ARGV[2] .. user .. ARGV[3]
  local size = redis.pcall('HSTRLEN', settings, 'parameters')
  answer[#answer + 1] = user
  if type(size) ~= 'number' or size == 0 then
    answer[#answer + 1] = ''
  elseif size > tonumber(ARGV[4]) then
    answer[#answer + 1] = false
  else
    answer[#answer + 1] = redis.call('HGET', settings, 'parameters')
  end
end
return answer
