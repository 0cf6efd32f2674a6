-- Append lines to the log of an execution, where there is such a one.
--
-- KEYS[1]  execution (STRING, JSON)   KEYS[2]  claim   KEYS[3]  the waiting job   KEYS[4]  done marker
-- KEYS[5]  log lines (LIST, JSON)
-- ARGV[1]  milliseconds the log is kept   ARGV[2...]  log lines as JSON
-- Returns  1; 0 where nothing is known of the execution. O(lines).

--@ include set_aside.lua#require_type
--@ include finish.lua#trail

if redis.call('EXISTS', unpack(KEYS, 1, 4)) == 0 then return 0 end
require_type(KEYS[5], 'list')
append_lines(KEYS[5], 2)
redis.call('PEXPIRE', KEYS[5], ARGV[1])
return 1
