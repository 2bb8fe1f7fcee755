-- Drops a handler's route, and what waits in its lanes. Or only counts that.
--
-- KEYS  1 routes  2 lanes  3 stats
-- ARGV  1 prefix  2 handler  3 '1' to drop
-- Returns {1 if there is a route or a lane, deliveries that wait or are gathered, a lane that a drain
-- runs or ''}.
-- While a drain runs, nothing is dropped.

local prefix, handler, drop = ARGV[1], ARGV[2], ARGV[3] == '1'
local lanes, waiting, running = {}, 0, ''

local function key(lane, part)
  return prefix .. 'lane:' .. lane .. ':' .. part
end

local function held(lane)
  return redis.call('ZRANGE', key(lane, 'held'), 0, -1)
end

local function gathering(lane)
  return redis.call('ZRANGE', key(lane, 'gathering'), 0, -1)
end

for _, lane in ipairs(redis.call('HKEYS', KEYS[2])) do
  if string.match(lane, '^(.*)/%d+$') == handler then
    lanes[#lanes + 1] = lane
    waiting = waiting + redis.call('LLEN', key(lane, 'queue')) + redis.call('SCARD', key(lane, 'taken'))
    for _, conversation in ipairs(held(lane)) do
      waiting = waiting + redis.call('LLEN', key(lane, 'parked:' .. conversation))
    end
    for _, name in ipairs(gathering(lane)) do
      waiting = waiting + redis.call('HLEN', key(lane, 'gathered:' .. name)) - 1
    end
    if redis.call('EXISTS', key(lane, 'owner')) == 1 and redis.call('HGET', KEYS[2], lane) ~= 'lingering' then
      running = lane
    end
  end
end
local known = (#lanes > 0 or redis.call('HEXISTS', KEYS[1], handler) == 1) and 1 or 0
if not drop or running ~= '' then
  return {known, waiting, running}
end

local function skip(entries)
  for _, entry in ipairs(entries) do
    local event = prefix .. 'event:' .. entry
    local state = redis.call('HGET', event, handler) or 'waiting 0 0'
    redis.call('HSET', event, handler, 'skipped ' .. string.match(state, ' (%d+ %d+)$'))
  end
end

local function skip_list(list)
  for first = 0, redis.call('LLEN', list) - 1, 1000 do
    skip(redis.call('LRANGE', list, first, first + 999))
  end
  redis.call('UNLINK', list)
end

redis.call('HDEL', KEYS[1], handler)
for _, lane in ipairs(lanes) do
  skip_list(key(lane, 'queue'))
  skip(redis.call('SMEMBERS', key(lane, 'taken')))
  for _, conversation in ipairs(held(lane)) do
    skip_list(key(lane, 'parked:' .. conversation))
  end
  for _, name in ipairs(gathering(lane)) do
    redis.call('UNLINK', key(lane, 'gathered:' .. name))
  end
  redis.call('UNLINK', key(lane, 'taken'), key(lane, 'suspects'), key(lane, 'held'), key(lane, 'gathering'),
    key(lane, 'closed'), key(lane, 'kept'))
  redis.call('HDEL', KEYS[2], lane)
end
if waiting > 0 then
  redis.call('HINCRBY', KEYS[3], 'skipped ' .. handler, waiting)
end
return {known, waiting, running}
