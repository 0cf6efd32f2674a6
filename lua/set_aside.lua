-- Set a key aside that holds another type than belongs there, so that the work goes on as if it had been deleted.
--
-- KEYS[1]  lease   KEYS[2]  the key   KEYS[3]  where its content is kept
-- ARGV[1]  token   ARGV[2]  the type that belongs there; empty: its content cannot be read, whatever its type
-- ARGV[3]  milliseconds the content is kept
-- Returns  the type it held, or an empty text when nothing was wrong with it. O(1), and the deletion of an older content.

--@ include lease.lua#lease

-- [require_type
-- Stop the script before it has written anything if `key` holds another type: half of what belongs together would stand.
local function require_type(key, wanted)
  local found = redis.call('TYPE', key).ok
  if found ~= wanted and found ~= 'none' then
    error({err = 'WRONGKEY ' .. key .. ' holds a ' .. found .. ', not a ' .. wanted})
  end
end
-- require_type]

require_lease(KEYS[1], ARGV[1])
local found = redis.call('TYPE', KEYS[2]).ok
if found == 'none' or found == ARGV[2] then return '' end
redis.call('RENAME', KEYS[2], KEYS[3])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return found
