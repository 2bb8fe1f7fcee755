-- Moves a batch of events from the inbox into their lanes, in one step.
--
-- KEYS  1 the leader's lease  2 cursor  3 lanes  4 stats  5 routings
-- ARGV  1 prefix  2 token  3 expected cursor  4 new cursor  5 dedupe window (s)
--       6 the routes, where they may have changed, or ''
--       then for each event: entry, identity, its shard, n, and n lanes
-- Returns {how many processes heard the bell, the lanes that it rang for}, or false if the caller no longer
-- leads. The bell rings for lanes that were asleep, and for those whose drains linger.

if redis.call('GET', KEYS[1]) ~= ARGV[2] then
  return false
end
if (redis.call('GET', KEYS[2]) or '0-0') ~= ARGV[3] then
  return false
end

local prefix, window = ARGV[1], tonumber(ARGV[5])
local number = math.floor(redis.call('TIME')[1] / window)
local this_window = string.format('%sseen:%.0f:', prefix, number)
local last_window = string.format('%sseen:%.0f:', prefix, number - 1)

-- Returns the first entry that had this identity: this one, or another.
local function original(entry, identity, shard)
  local earlier = redis.call('HGET', last_window .. shard, identity)
  if earlier then
    return earlier
  end
  local seen = this_window .. shard
  if redis.call('HSETNX', seen, identity, entry) == 0 then
    return redis.call('HGET', seen, identity)
  end
  if redis.call('HLEN', seen) == 1 then
    redis.call('EXPIRE', seen, 2 * window)
  end
  return entry
end

-- How events were routed can be told from their entries ever after. (pcall: where somebody has set the
-- cursor back, it can't be told of what is dispatched again, and that is all.)
if ARGV[6] ~= '' then
  local last = redis.call('XREVRANGE', KEYS[5], '+', '-', 'COUNT', 1)[1]
  if not last or last[2][2] ~= ARGV[6] then
    redis.pcall('XADD', KEYS[5], ARGV[7], 'routes', ARGV[6])
  end
end

-- What was purged since the leader has read it goes nowhere.
local purged = prefix .. 'purged'
local some_purged = redis.call('EXISTS', purged) == 1

local queues, order = {}, {}
local events, duplicates = 0, 0
local i = 7
while i <= #ARGV do
  local entry, identity, n = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 3])
  local is_purged = some_purged and redis.call('ZSCORE', purged, entry)
  local first = (identity == '' or is_purged) and entry or original(entry, identity, ARGV[i + 2])
  i = i + 4
  events = events + 1
  if is_purged then
    i = i + n
  elseif first ~= entry then
    duplicates = duplicates + 1
    redis.call('HSET', prefix .. 'event:' .. entry, 'repeats', first)
    i = i + n
  else
    for _ = 1, n do
      local lane = ARGV[i]
      i = i + 1
      local queue = queues[lane]
      if not queue then
        queue = {}
        queues[lane] = queue
        order[#order + 1] = lane
      end
      queue[#queue + 1] = entry
    end
  end
end

local called = {}
for _, lane in ipairs(order) do
  local key, entries = prefix .. 'lane:' .. lane .. ':queue', queues[lane]
  for first = 1, #entries, 1000 do
    redis.call('RPUSH', key, unpack(entries, first, math.min(first + 999, #entries)))
  end
  if redis.call('HGET', KEYS[3], lane) ~= 'active' then
    redis.call('HSET', KEYS[3], lane, 'active')
    called[#called + 1] = lane
  end
end
redis.call('SET', KEYS[2], ARGV[4])
redis.call('HINCRBY', KEYS[4], 'dispatched', events)
if duplicates > 0 then
  redis.call('HINCRBY', KEYS[4], 'repeated', duplicates)
end

-- Last of all: where this user of Redis may not publish, nobody hears it, and nothing is lost.
local heard = #called > 0 and redis.pcall('PUBLISH', prefix .. 'bell', table.concat(called, '\n')) or 0
return {type(heard) == 'number' and heard or 0, called}
