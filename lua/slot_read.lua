-- Read the next users of a slot list, with the parameters each has set for the task.
--
-- KEYS[1]  slot list
-- ARGV[1]  how many users   ARGV[2]  prefix and ARGV[3]  suffix of the key of a user's settings
-- Returns  {user, parameters, user, parameters, ...}; parameters empty where there are none. O(users).

local answer = {}
for _, user in ipairs(redis.call('LRANGE', KEYS[1], 0, tonumber(ARGV[1]) - 1)) do
  local parameters = redis.pcall('HGET', ARGV[2] .. user .. ARGV[3], 'parameters')
  answer[#answer + 1] = user
  answer[#answer + 1] = type(parameters) == 'string' and parameters or ''
end
return answer
