-- Drops a page of events that are finished and older than the retention time, with their deliveries.
-- Nothing is dropped from the first entry on that a lane still holds or has gathered, or that isn't
-- dispatched yet.
--
-- KEYS  1 inbox  2 cursor  3 lanes  4 finished  5 routings
-- ARGV  1 prefix  2 retention (ms)  3 how many at the most
-- Returns how many were dropped.

local prefix = ARGV[1]
local time = redis.call('TIME')
local first, second = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[2], 0

local function keep(entry)
  if entry then
    local a, b = string.match(entry, '(%d+)-(%d+)')
    a, b = tonumber(a), tonumber(b)
    if a < first or (a == first and b < second) then
      first, second = a, b
    end
  end
end

keep(redis.call('GET', KEYS[2]) or '0-0')
for _, lane in ipairs(redis.call('HKEYS', KEYS[3])) do
  local key = prefix .. 'lane:' .. lane
  keep(redis.call('LINDEX', key .. ':queue', 0))
  for _, entry in ipairs(redis.call('SMEMBERS', key .. ':taken')) do
    keep(entry)
  end
  for _, conversation in ipairs(redis.call('ZRANGE', key .. ':held', 0, -1)) do
    keep(redis.call('LINDEX', key .. ':parked:' .. conversation, 0))
  end
  local gathered = redis.call('ZRANGE', key .. ':kept', 0, 0, 'WITHSCORES')[2]
  if gathered then
    keep(gathered .. '-0')
  end
end
if first <= 0 then
  return 0
end
-- What was purged before the oldest event that is kept: nothing can refer to it any more.
redis.call('ZREMRANGEBYSCORE', prefix .. 'purged', '-inf', string.format('(%.0f', first))

local found = redis.call('XRANGE', KEYS[1], '-', string.format('(%.0f-%.0f', first, second), 'COUNT', ARGV[3])
for _, event in ipairs(found) do
  local entry = event[1]
  if redis.call('EXISTS', prefix .. 'letter:' .. entry) == 0 then
    redis.call('UNLINK', prefix .. 'event:' .. entry)
  end
  redis.call('XDEL', KEYS[1], entry)
end
if #found > 0 then
  -- What is recorded of an event is younger than it; it was routed by the newest routes before it.
  local oldest = (redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1] or found[#found])[1]
  redis.call('XTRIM', KEYS[4], 'MINID', string.match(oldest, '^%d+'))
  local routing = redis.call('XREVRANGE', KEYS[5], oldest, '-', 'COUNT', 1)[1]
  if routing then
    redis.call('XTRIM', KEYS[5], 'MINID', routing[1])
  end
end
return #found
