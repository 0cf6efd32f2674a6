-- How many jobs of each task run now, over all workers? Places of workers that are gone are free again.
--
-- KEYS[1]  since when heartbeats were possible
-- KEYS[2]  places of a task (ZSET: "incarnation delivery job" by the unix ms at which the place lapses)
-- KEYS[3..]  the same of other tasks
-- ARGV[1]  prefix of heartbeat keys   ARGV[2]  milliseconds a heartbeat lives
-- Returns  one number per task. O(keys · log places).

--@ include set_aside.lua#require_type

-- [place
local function place_name(incarnation, delivery, job_id)
  return incarnation .. ' ' .. delivery .. ' ' .. job_id
end

-- A key of another type holds no places, and must not keep a job from its end.
local function place_give_back(key, place)
  redis.pcall('ZREM', key, place)
end
-- place]

-- [gone
-- Is this worker gone? `beats`: {prefix: of heartbeat keys, lives: milliseconds, since: the key that says since when
-- somebody has beaten without a pause}. One that leaves says so, by a heartbeat without a text. That one is missing says
-- nothing until a heartbeat could have come for as long as it lives: while Redis was away nobody could beat.
local function worker_is_gone(worker, beats, now)
  local beat = redis.pcall('GET', beats.prefix .. worker)
  if beat then return beat == '' end
  local since = tonumber(redis.pcall('GET', beats.since))
  return since ~= nil and now - since >= beats.lives
end
-- gone]

-- [places
-- Free the places that have lapsed, and those whose worker is gone; return how many are taken.
-- Only some at both ends are looked at, so that it costs the same however many there are. A lost worker's places get to
-- the front as the living give theirs back, and lapse at last; those taken while the clock was ahead lapse late, and
-- stand at the end.
local function places_taken(key, now, beats)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  local lives = {}
  local function look(first, last)
    for _, place in ipairs(redis.call('ZRANGE', key, first, last)) do
      local worker = string.match(place, '^[^ ]*')
      if lives[worker] == nil then lives[worker] = not worker_is_gone(worker, beats, now) end
      if not lives[worker] then redis.call('ZREM', key, place) end
    end
  end
  look(0, 47)
  look(-16, -1)
  return redis.call('ZCARD', key)
end

-- Nothing is counted through while there is room.
local function place_is_free(key, most, now, beats)
  return redis.call('ZCARD', key) < most or places_taken(key, now, beats) < most
end

local function place_take(key, place, now, milliseconds)
  redis.call('ZADD', key, now + milliseconds, place)
  if redis.call('PTTL', key) < milliseconds then redis.call('PEXPIRE', key, milliseconds) end
end
-- places]

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local beats = {prefix = ARGV[1], lives = tonumber(ARGV[2]), since = KEYS[1]}
local taken = {}
for index = 2, #KEYS do
  require_type(KEYS[index], 'zset')
  taken[index - 1] = places_taken(KEYS[index], now, beats)
end
return taken
