-- Gives a mail its turn, so that all workers together send no more than so many a second (GCRA, the
-- leaky bucket that needs one number: when the next turn is free).
--
-- A mail that would wait too long keeps its turn under a key of its own, and finds it when it is tried
-- again: else those that were told to come back would meet newcomers, and spend their retries.
--
-- KEYS  1 the next free turn  2 this mail's turn
-- ARGV  1 time between two turns  2 how long a mail may wait in place  3 how late it may come (all in us)
-- Returns how long to wait (us); if that is more than ARGV[2], for another attempt.

local between, patience, late = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function keep(key, turn, spare)
  local expires = math.ceil((turn - now + spare) / 1000)
  redis.call('SET', key, string.format('%.0f', turn), 'PX', expires)
end

local turn = tonumber(redis.call('GET', KEYS[2]) or nil)
if not turn or turn < now - late then
  turn = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
  keep(KEYS[1], turn + between, 1000)
end
local wait = math.max(0, turn - now)
if wait > patience then
  keep(KEYS[2], turn, late + 1000)
else
  redis.call('DEL', KEYS[2])
end
return string.format('%.0f', wait)
