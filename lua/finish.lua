-- Write down how a job ended; the first end wins. Harmless when asked again.
--
-- KEYS[1]  done marker   KEYS[2]  claim   KEYS[3]  execution (STRING, JSON)
-- KEYS[4]  executions of the day (HASH)   KEYS[5]  failures of the day (HASH)   KEYS[6]  durations of the task (ZSET)
-- ARGV[1]  the word for the done marker    ARGV[2]  milliseconds it is kept
-- ARGV[3]  execution as JSON               ARGV[4]  milliseconds it is kept
-- ARGV[5]  task id                         ARGV[6]  1: the endpoint was called, count it
-- ARGV[7]  1: it failed for good           ARGV[8]  completion, unix ms
-- ARGV[9]  member of the duration ZSET     ARGV[10] milliseconds the metrics are kept
-- ARGV[11] entries the duration ZSET keeps
-- Returns  the word that stands now: ARGV[1], or the earlier end's. O(log durations).

local done = redis.call('GET', KEYS[1])
if done then return done end

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[4])
if ARGV[6] == '1' then
  redis.call('HINCRBY', KEYS[4], ARGV[5], 1)
  redis.call('PEXPIRE', KEYS[4], ARGV[10])
  redis.call('ZADD', KEYS[6], ARGV[8], ARGV[9])
  redis.call('ZREMRANGEBYRANK', KEYS[6], 0, -tonumber(ARGV[11]) - 1)
  redis.call('PEXPIRE', KEYS[6], ARGV[10])
end
if ARGV[7] == '1' then
  redis.call('HINCRBY', KEYS[5], ARGV[5], 1)
  redis.call('PEXPIRE', KEYS[5], ARGV[10])
end
return ARGV[1]
