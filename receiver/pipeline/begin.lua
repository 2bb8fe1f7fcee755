-- Makes the caller the lane's owner and puts back, in order, what a dead drain had taken.
-- Or, to abandon it: the owner puts back what it has itself, and lets go.
--
-- KEYS  1 owner  2 queue  3 taken  4 suspects  5 held  6 lanes  7 inbox
-- ARGV  1 prefix  2 lane  3 handler  4 token  5 lease (ms)  6 why it is abandoned, or ''
--       7 '' where each event is a conversation of its own
-- Returns how many events were put back, or -1 if another drain owns the lane.

local abandon, ordered = ARGV[6] ~= '', ARGV[7] ~= ''
local owner = redis.call('GET', KEYS[1])
local had, why = string.match(owner or '', '^dead (%d+) (.*)$') -- see obituary.lua
if owner ~= ARGV[4] and ((owner and not had) or abandon) then
  return -1
end
if not abandon then
  redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
  redis.call('HSET', KEYS[6], ARGV[2], 'active')
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function before(a, b)
  local a1, a2 = string.match(a, '(%d+)-(%d+)')
  local b1, b2 = string.match(b, '(%d+)-(%d+)')
  if a1 ~= b1 then
    return tonumber(a1) < tonumber(b1)
  end
  return tonumber(a2) < tonumber(b2)
end

local function conversation_of(entry)
  if not ordered then
    return entry
  end
  local found = redis.call('XRANGE', KEYS[7], entry, entry)[1]
  return found and found[2][8] or redis.call('HGET', ARGV[1] .. 'letter:' .. entry, 'conversation')
end

-- A conversation that ran in the drain that ended may go on at once.
for _, conversation in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '+inf', '+inf')) do
  redis.call('ZADD', KEYS[5], 0, conversation)
end

local said = abandon and ARGV[6] or 'the worker died while it had this event' .. (why and ': ' .. why or '')
local taken = redis.call('SMEMBERS', KEYS[3])
local blamed = false
if #taken == 1 and not abandon then
  -- Where nobody has told what its process had, it may have died of another lane's event: once.
  blamed = tonumber(had) == 1 or (not had and redis.call('SISMEMBER', KEYS[4], taken[1]) == 1)
end
table.sort(taken, before)
local returned = {}
for i = #taken, 1, -1 do
  local entry = taken[i]

  -- Each may have begun, so the attempt counts; only an event that was alone is to blame.
  local event = ARGV[1] .. 'event:' .. entry
  local state = redis.call('HGET', event, ARGV[3]) or 'waiting 0 0'
  local attempts, failures = string.match(state, ' (%d+) (%d+)')
  attempts = attempts + 1
  failures = failures + (blamed and 1 or 0)
  redis.call('HSET', event, ARGV[3], 'retrying ' .. attempts .. ' ' .. failures,
    ARGV[3] .. ' ' .. attempts,
    string.format('{"ended":%.0f,"outcome":"cut off","error":%s}', now, cjson.encode(said)))
  if not abandon then
    redis.call('SADD', KEYS[4], entry)
  end

  local conversation = conversation_of(entry)
  local parked = conversation and ARGV[1] .. 'lane:' .. ARGV[2] .. ':parked:' .. conversation
  if conversation and blamed then
    -- It waits apart, as after any failure, and holds up nobody else.
    redis.call('LPUSH', parked, entry)
    redis.call('ZADD', KEYS[5], now + math.min(600000, 1000 * 2 ^ (failures - 1)), conversation)
  elseif conversation and redis.call('EXISTS', parked) == 1 then
    redis.call('LPUSH', parked, entry)
  else
    table.insert(returned, 1, entry)
  end
end

-- What ran may be younger than what the drain has given back before: a lane's first entry is its oldest,
-- housekeeping goes by that. A drain has 256 events at the most.
if #returned > 0 then
  local first = redis.call('LRANGE', KEYS[2], 0, 255)
  redis.call('LTRIM', KEYS[2], #first, -1)
  local merged, i = {}, 1
  for _, entry in ipairs(first) do
    while returned[i] and before(returned[i], entry) do
      merged[#merged + 1] = returned[i]
      i = i + 1
    end
    merged[#merged + 1] = entry
  end
  for j = i, #returned do
    merged[#merged + 1] = returned[j]
  end
  for j = #merged, 1, -1 do
    redis.call('LPUSH', KEYS[2], merged[j])
  end
end
redis.call('DEL', KEYS[3])
if abandon then
  redis.call('DEL', KEYS[1])
end
return #taken
