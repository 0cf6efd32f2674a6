-- Read user preferences, many in one short text each: what stands at the given keys, or at the next ones that SCAN finds.
-- Writes nothing.
--
-- KEYS[1], KEYS[2]... keys of switches (HASH, `…:tasks`) or settings (HASH, `…:settings:{task}`); without any: SCAN
-- ARGV[1]  work that one call may do: a key counts 4, each of its fields 1; the call ends after the key that uses it up
-- ARGV[2]  most fields of switches that are read     ARGV[3]  most bytes of a custom interval that are returned
-- ARGV[4], ARGV[5], ARGV[6]  cursor, pattern and count of SCAN
-- Returns  {cursor of SCAN, keys, answers}; per key, from the first on as far as the work went, one at least:
--   switches  ids that are on, an empty line, ids that are off, one a line; nil: none; an integer: that many fields, unread
--   settings  the custom interval; nil: none
-- A key of another type holds nothing. A field that cannot be a task id is left out. O(fields).

local budget, most_fields, most_bytes = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

-- The reply, or nil where the key has another type. Whatever else is refused ends the script.
local function unless_wrong_type(reply)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if reply.err:sub(1, 9) ~= 'WRONGTYPE' then error(reply) end
  return nil
end

local function switches(key)
  local fields = unless_wrong_type(redis.pcall('HLEN', key)) or 0
  if fields == 0 then return false, 0 end
  if fields > most_fields then return fields, 0 end
  local flat, on, off = redis.call('HGETALL', key), {}, {}
  for index = 1, #flat, 2 do
    local task = flat[index]
    if #task <= 64 and task:find('^[%w._-]+$') then
      local side = flat[index + 1] == '1' and on or off
      side[#side + 1] = task
    end
  end
  return table.concat(on, '\n') .. '\n\n' .. table.concat(off, '\n'), fields
end

local function custom_interval(key)
  local text = unless_wrong_type(redis.pcall('HGET', key, 'custom_interval'))
  return text and text:sub(1, most_bytes) or false
end

local cursor, found = '0', KEYS
if #KEYS == 0 then
  local reply = redis.call('SCAN', ARGV[4], 'MATCH', ARGV[5], 'COUNT', ARGV[6])
  cursor, found = reply[1], reply[2]
end
local answers = {}
for index, key in ipairs(found) do
  local answer, fields = nil, 0
  if key:sub(-6) == ':tasks' then
    answer, fields = switches(key)
  else
    answer = custom_interval(key)
  end
  answers[index] = answer
  budget = budget - 4 - fields
  if budget <= 0 then break end
end
return {cursor, #KEYS == 0 and found or {}, answers}
