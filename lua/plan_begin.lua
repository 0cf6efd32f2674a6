-- Move the due entry of a (task, cohort) to its next instant and open the record of the occurrence: compare and set.
--
-- KEYS[1]  lease   KEYS[2]  due work (ZSET)   KEYS[3]  occurrence (HASH)   KEYS[4]  live occurrences (ZSET)
-- KEYS[5]  owners of the plain slot lists (HASH: task id -> occurrence)   KEYS[6]  planning lock of the task
-- ARGV[1]  token            ARGV[2]  member of the due ZSET      ARGV[3]  its score as it was read
-- ARGV[4]  its next score, empty when the task is never due again
-- ARGV[5]  member of the live occurrences; empty: only move      ARGV[6]  occurrence id
-- ARGV[7]  task id          ARGV[8]  1: may use the plain slot lists   ARGV[9]  first due instant, unix ms
-- ARGV[10] milliseconds the record is kept                       ARGV[11] milliseconds the planning lock is kept
-- ARGV[12..] fields and values of the record
-- Returns  1 planned, 0 the entry had moved already, 2 the occurrence existed already. O(log due).

--@ include lease.lua#lease

require_lease(KEYS[1], ARGV[1])
local score = redis.call('ZSCORE', KEYS[2], ARGV[2])
if not score or tonumber(score) ~= tonumber(ARGV[3]) then return 0 end
if ARGV[4] == '' then
  redis.call('ZREM', KEYS[2], ARGV[2])
else
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[2])
end
if ARGV[5] == '' then return 1 end
if redis.call('EXISTS', KEYS[3]) == 1 then return 2 end

local suffix = ':' .. ARGV[6]
if ARGV[8] == '1' and redis.call('HSETNX', KEYS[5], ARGV[7], ARGV[6]) == 1 then suffix = '' end
redis.call('HSET', KEYS[3], 'suffix', suffix, 'cursor', '', 'planned', 0, 'released', 0, unpack(ARGV, 12))
redis.call('PEXPIRE', KEYS[3], ARGV[10])
redis.call('ZADD', KEYS[4], ARGV[9], ARGV[5])
redis.call('SET', KEYS[6], ARGV[1], 'PX', ARGV[11])
return 1
