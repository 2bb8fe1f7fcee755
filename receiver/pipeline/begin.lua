-- Makes the caller the lane's owner and puts back, in order, what a dead drain had taken.
--
-- KEYS  1 owner  2 queue  3 taken  4 suspects  5 held  6 lanes  7 inbox
-- ARGV  1 prefix  2 lane  3 handler  4 token  5 lease (ms)  6 now (ms)
-- Returns how many events were put back, or -1 if another drain owns the lane.

local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[4] then
  return -1
end
redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
redis.call('HSET', KEYS[6], ARGV[2], 'active')

local function before(a, b)
  local a1, a2 = string.match(a, '(%d+)-(%d+)')
  local b1, b2 = string.match(b, '(%d+)-(%d+)')
  if a1 ~= b1 then
    return tonumber(a1) < tonumber(b1)
  end
  return tonumber(a2) < tonumber(b2)
end

-- A conversation that ran in the dead drain may go on at once.
for _, conversation in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '+inf', '+inf')) do
  redis.call('ZADD', KEYS[5], 0, conversation)
end

local taken = redis.call('SMEMBERS', KEYS[3])
table.sort(taken, before)
for i = #taken, 1, -1 do
  local entry = taken[i]
  local found = redis.call('XRANGE', KEYS[7], entry, entry)[1]
  local parked = found and ARGV[1] .. 'lane:' .. ARGV[2] .. ':parked:' .. found[2][8]
  if parked and redis.call('EXISTS', parked) == 1 then
    redis.call('LPUSH', parked, entry)
  else
    redis.call('LPUSH', KEYS[2], entry)
  end
  -- Each may have begun, so the attempt counts; only an event that was alone is to blame.
  local event = ARGV[1] .. 'event:' .. entry
  local state = redis.call('HGET', event, ARGV[3]) or 'waiting 0 0'
  local attempts, failures = string.match(state, ' (%d+) (%d+)')
  attempts = attempts + 1
  failures = failures + (#taken == 1 and 1 or 0)
  redis.call('HSET', event, ARGV[3], 'retrying ' .. attempts .. ' ' .. failures,
    ARGV[3] .. ' ' .. attempts,
    '{"ended":' .. ARGV[6] .. ',"outcome":"cut off","error":"the worker died while it had this event"}')
  redis.call('SADD', KEYS[4], entry)
end
redis.call('DEL', KEYS[3])
return #taken
