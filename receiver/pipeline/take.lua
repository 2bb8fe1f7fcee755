-- Gives the lane's owner the next events. From here on they are on record as taken, so that an event
-- that kills its worker is found out.
--
-- KEYS  1 owner  2 queue  3 taken  4 suspects  5 held  6 inbox  7 lanes
-- ARGV  1 prefix  2 lane  3 handler  4 token  5 lease (ms)
--       6 how many  7 how many of one conversation  8 '' where each event is a conversation of its own
--       9 'all', 'only' suspects, or 'none' of them
--       10 the lease (ms) with which the caller lingers where there is nothing at all, or ''
--       then: conversations that have enough
-- Returns {events, overflowing, waits, lingers}: each event as {entry, state, fields}; overflowing are the
-- conversations whose further events were parked, to be asked for when the given ones are done;
-- waits is 1 if the next event is a suspect, and none were wanted; lingers is 1 if the caller does.
-- Returns false if the caller no longer owns the lane.

if redis.call('GET', KEYS[1]) ~= ARGV[4] then
  return false
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])

local prefix, lane, handler = ARGV[1], ARGV[2], ARGV[3]
local want, share, ordered = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] ~= ''
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A suspect was in the hands of a drain that died. It is given only when nothing else runs, and
-- nothing beside it: then only the guilty one dies again.
local suspects, waits = ARGV[9], 0
local some_suspect = redis.call('EXISTS', KEYS[4]) == 1
local nothing_runs = true
if some_suspect then
  nothing_runs = redis.call('EXISTS', KEYS[3]) == 0
  if #redis.call('SINTER', KEYS[3], KEYS[4]) > 0 then
    return {{}, {}, 0, 0}
  end
end
if suspects == 'only' and not some_suspect then
  return {{}, {}, 0, 0}
end
local closed = false -- nothing more is given in this turn

local events, entries, overflowing = {}, {}, {}

local function parked_key(conversation)
  return prefix .. 'lane:' .. lane .. ':parked:' .. conversation
end

-- The fields of an event: from the inbox or, where it has left that, from its letter.
local function read(entry)
  local found = redis.call('XRANGE', KEYS[6], entry, entry)[1]
  if found then
    return found[2]
  end
  local names = {'id', 'source', 'category', 'conversation', 'identity', 'received', 'body', 'replay'}
  local values, fields = redis.call('HMGET', prefix .. 'letter:' .. entry, unpack(names)), {}
  for i, name in ipairs(names) do
    if values[i] then
      fields[#fields + 1] = name
      fields[#fields + 1] = values[i]
    end
  end
  return #fields > 0 and fields or nil
end

local function give(entry, fields)
  if some_suspect and redis.call('SISMEMBER', KEYS[4], entry) == 1 then
    closed = true
    if suspects == 'none' then
      waits = 1
      return false
    end
    if #entries > 0 or not nothing_runs then
      return false
    end
  elseif suspects == 'only' then
    return false
  end
  entries[#entries + 1] = entry
  local state = redis.call('HGET', prefix .. 'event:' .. entry, handler) or 'waiting 0 0'
  events[#events + 1] = {entry, state, fields or {}}
  return true
end

local function park(entry, conversation)
  redis.call('RPUSH', parked_key(conversation), entry)
  if some_suspect then
    redis.call('SREM', KEYS[4], entry)
  end
end

-- Conversations whose wait is over go first: they were here before what is in the queue.
local some_held = redis.call('EXISTS', KEYS[5]) == 1
if some_held then
  for _, conversation in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now, 'LIMIT', 0, want)) do
    local room = math.min(share, want - #events)
    if room <= 0 or closed then
      break
    end
    local key, given = parked_key(conversation), 0
    for _, entry in ipairs(redis.call('LRANGE', key, 0, room - 1)) do
      if closed or not give(entry, read(entry)) then
        break
      end
      given = given + 1
    end
    redis.call('LTRIM', key, given, -1)
    if redis.call('EXISTS', key) == 0 then
      redis.call('ZREM', KEYS[5], conversation)
    elseif given > 0 then
      redis.call('ZADD', KEYS[5], '+inf', conversation)
      overflowing[#overflowing + 1] = conversation
    end
  end
  some_held = redis.call('EXISTS', KEYS[5]) == 1
end

local count = {}
for i = 11, #ARGV do
  count[ARGV[i]] = share
end
if want > #events and not closed then
  local passed = 0
  for _, entry in ipairs(redis.call('LRANGE', KEYS[2], 0, want - #events - 1)) do
    local fields = read(entry)
    local conversation = fields and (ordered and fields[8] or entry)
    if conversation and some_held and redis.call('ZSCORE', KEYS[5], conversation) then
      park(entry, conversation)
    elseif conversation and (count[conversation] or 0) >= share then
      redis.call('ZADD', KEYS[5], '+inf', conversation)
      park(entry, conversation)
      overflowing[#overflowing + 1] = conversation
      some_held = true
    else
      if closed or not give(entry, fields) then
        break
      end
      if conversation then
        count[conversation] = (count[conversation] or 0) + 1
      end
    end
    passed = passed + 1
  end
  redis.call('LTRIM', KEYS[2], passed, -1)
end

for first = 1, #entries, 1000 do
  redis.call('SADD', KEYS[3], unpack(entries, first, math.min(first + 999, #entries)))
end
local lingers = 0
if ARGV[10] ~= '' and redis.call('EXISTS', KEYS[2], KEYS[3], KEYS[5]) == 0 then
  redis.call('HSET', KEYS[7], lane, 'lingering')
  redis.call('PEXPIRE', KEYS[1], ARGV[10]) -- the lane needn't wait long for one that dies so
  lingers = 1
end
return {events, overflowing, waits, lingers}
