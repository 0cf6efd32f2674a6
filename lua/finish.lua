-- Write down how a job ended; the first end wins. Harmless when asked again.
--
-- KEYS[1]  done marker   KEYS[2]  claim   KEYS[3]  execution (STRING, JSON)
-- KEYS[4]  executions of the day (HASH)   KEYS[5]  failures of the day (HASH)   KEYS[6]  durations of the task (ZSET)
-- KEYS[7]  places of the task (ZSET)       KEYS[8]  cancel mark
--          only for a job that the scheduler planned:
-- KEYS[9]  its occurrence (HASH)   KEYS[10] held due work (ZSET)   KEYS[11] instants of the held (HASH)
-- ARGV[1]  the word for the done marker    ARGV[2]  milliseconds it is kept
-- ARGV[3]  execution as JSON               ARGV[4]  milliseconds it is kept
-- ARGV[5]  task id                         ARGV[6]  1: the endpoint was called, count it
-- ARGV[7]  1: it failed for good           ARGV[8]  completion, unix ms
-- ARGV[9]  member of the duration ZSET     ARGV[10] milliseconds the metrics are kept
-- ARGV[11] entries the duration ZSET keeps ARGV[12] incarnation of the worker
-- ARGV[13] delivery, unique within it      ARGV[14] job id
-- ARGV[15] milliseconds the mark of an ended job is kept
-- Returns  the word that stands now: ARGV[1], or the earlier end's. O(log durations).

--@ include places.lua#place

-- [count_ends
-- Note that `count` jobs of an occurrence have ended, or never were, and let the due work that waits for its end be
-- looked at. Only occurrences that others wait for or yield to are counted. What cannot be read, for a key holds
-- another type, is left alone: it must not keep a job from its end.
local function count_ends(occurrence, held, instants, count)
  local record = redis.pcall('HMGET', occurrence, 'counted_for', 'state', 'planned')
  if record.err or not record[1] then return end
  local ended = redis.pcall('HINCRBY', occurrence, 'ended', count)
  local planned = tonumber(record[3])
  if type(ended) ~= 'number' or not planned or record[2] == 'planning' or ended < planned then return end
  local instant = redis.pcall('HGET', instants, record[1])
  if type(instant) == 'string' then
    redis.pcall('ZADD', held, 'XX', 'LT', string.match(instant, '^%d+'), record[1])
  end
end
-- count_ends]

place_give_back(KEYS[7], place_name(ARGV[12], ARGV[13], ARGV[14]))
local done = redis.call('GET', KEYS[1])
if done then return done end

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[4])
redis.call('PEXPIRE', KEYS[8], ARGV[15], 'LT')
if KEYS[9] then count_ends(KEYS[9], KEYS[10], KEYS[11], 1) end
-- A metric's key that holds another type must not keep a job from its end.
if ARGV[6] == '1' then
  redis.pcall('HINCRBY', KEYS[4], ARGV[5], 1)
  redis.call('PEXPIRE', KEYS[4], ARGV[10])
  redis.pcall('ZADD', KEYS[6], ARGV[8], ARGV[9])
  redis.pcall('ZREMRANGEBYRANK', KEYS[6], 0, -tonumber(ARGV[11]) - 1)
  redis.call('PEXPIRE', KEYS[6], ARGV[10])
end
if ARGV[7] == '1' then
  redis.pcall('HINCRBY', KEYS[5], ARGV[5], 1)
  redis.call('PEXPIRE', KEYS[5], ARGV[10])
end
return ARGV[1]
