-- Gathers an event under keys, each in its lane, and says which lanes have to be woken for it.
--
-- KEYS  1 lanes  2 inbox
-- ARGV  1 prefix  2 entry  3 the call's field in the event's hash  4 quiet (ms)  5 longest (ms)
--       6 most  7 blocked (ms)  then pairs of lane and key, those of one lane together
-- Returns {lane, due (ms)} for each lane that has to be woken; due is 0 where that is at once.

local prefix, entry = ARGV[1], ARGV[2]
local quiet, longest, most, blocked = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local event = prefix .. 'event:' .. entry

-- An attempt that was given up may still run when its event is long gone; else each call counts once.
if (#redis.call('XRANGE', KEYS[2], entry, entry) == 0 and redis.call('EXISTS', event) == 0) or redis.call('HSETNX', event, ARGV[3], '1') == 0 then
  return {}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local accepted = tonumber(string.match(entry, '^%d+'))

-- When the lane has something to do without this event; it will be woken then.
local function earliest(base)
  local due = math.huge
  for _, part in ipairs({'held', 'gathering'}) do
    due = math.min(due, tonumber(redis.call('ZRANGE', base .. part, 0, 0, 'WITHSCORES')[2] or math.huge))
  end
  return due
end

-- Returns when the key's batch closes.
local function gather(base, key)
  local gathered = base .. 'gathered:' .. key
  redis.call('HSETNX', gathered, entry, '')
  local count, since = redis.call('HLEN', gathered), now
  if count == 1 then
    redis.call('HSET', gathered, 'since', now)
  else
    since = tonumber(redis.call('HGET', gathered, 'since'))
    count = count - 1
  end
  redis.call('ZADD', base .. 'kept', 'LT', accepted, 'gathered ' .. key)
  return count >= most and now or math.min(now + quiet, since + longest)
end

local woken = {}
local i = 8
while i <= #ARGV do
  local lane = ARGV[i]
  local base = prefix .. 'lane:' .. lane .. ':'
  local state = redis.call('HGET', KEYS[1], lane)
  local before = state == 'resting' and earliest(base) or math.huge
  local some_closed = redis.call('EXISTS', base .. 'closed') == 1
  local first = math.huge
  while ARGV[i] == lane do
    local key = ARGV[i + 1]
    i = i + 2
    local due = gather(base, key)
    if some_closed and redis.call('HEXISTS', base .. 'closed', key) == 1 then
      due = due + blocked
    else
      first = math.min(first, due)
    end
    redis.call('ZADD', base .. 'gathering', due, key)
  end
  -- An active lane has a drain, or a job for one, that will look for itself.
  if state ~= 'active' and first < before then
    redis.call('HSET', KEYS[1], lane, first <= now and 'active' or 'resting')
    woken[#woken + 1] = {lane, first <= now and 0 or first}
  end
end
return woken
