-- Pause a task type of tasks.yaml through the API, or let it go on: the leader puts that in force. Harmless when asked
-- again.
--
-- KEYS[1]  all tasks (ZSET: id by when it was made, unix ms)   KEYS[2]  task types that are paused (SET)
-- KEYS[3]  the record (HASH)
-- ARGV[1]  prefix of lists   ARGV[2]  id   ARGV[3]  revision as it was read   ARGV[4]  new revision
-- ARGV[5]  the task as JSON  ARGV[6]  since when it is paused, unix ms; empty: it goes on
-- Returns  {"changed"}, {"stale", revision}, {"gone"}: there is no such task type, or {"off_in_file"}: to let it go on is
--          the file's to say. O(log tasks in all).

--@ include set_aside.lua#require_type
--@ include api_task_create.lua#status

local tasks, all_paused, record = unpack(KEYS)
local id, doc, paused_at = ARGV[2], ARGV[5], ARGV[6]
for index, wanted in ipairs({'zset', 'set', 'hash'}) do require_type(KEYS[index], wanted) end
local known = redis.call('HMGET', record, 'rev', 'doc', 'source', 'off_in_file')
if not known[1] or known[3] ~= 'file' then return {'gone'} end
if known[1] == ARGV[4] and known[2] == doc then return {'changed'} end
if known[1] ~= ARGV[3] then return {'stale', known[1]} end
if paused_at == '' and known[4] == '1' then return {'off_in_file'} end
redis.call('HSET', record, 'doc', doc, 'rev', ARGV[4], 'paused_at', paused_at)
if paused_at == '' then
  redis.call('SREM', all_paused, id)
  change_status(record, tasks, ARGV[1], id, 'scheduled')
else
  redis.call('SADD', all_paused, id)
  change_status(record, tasks, ARGV[1], id, 'paused')
end
return {'changed'}
