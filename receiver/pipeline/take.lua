-- Gives the lane's owner the next events, and counts them as taken before they run.
--
-- KEYS  1 owner  2 queue  3 taken  4 suspects  5 held  6 inbox
-- ARGV  1 prefix  2 lane  3 handler  4 token  5 lease (ms)  6 now (ms)
--       7 how many  8 how many of one conversation  then: conversations that have enough
-- Returns {events, overflowing}: each event as {entry, state, fields}; overflowing are the
-- conversations whose further events were parked, to be asked for when the given ones are done.
-- Returns false if the caller no longer owns the lane.

if redis.call('GET', KEYS[1]) ~= ARGV[4] then
  return false
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])

local prefix, lane, handler, now = ARGV[1], ARGV[2], ARGV[3], ARGV[6]
local want, share = tonumber(ARGV[7]), tonumber(ARGV[8])
if redis.call('EXISTS', KEYS[4]) == 1 then
  -- One of these events may have killed the last drain: alone, only the guilty one is hit again.
  if redis.call('EXISTS', KEYS[3]) == 1 then
    return {{}, {}}
  end
  want = 1
end

local events, entries, overflowing = {}, {}, {}

local function parked_key(conversation)
  return prefix .. 'lane:' .. lane .. ':parked:' .. conversation
end

local function give(entry, found)
  entries[#entries + 1] = entry
  local state = redis.call('HGET', prefix .. 'event:' .. entry, handler) or 'waiting 0 0'
  events[#events + 1] = {entry, state, found and found[2] or {}}
end

local function read(entry)
  return redis.call('XRANGE', KEYS[6], entry, entry)[1]
end

-- Conversations whose wait is over go first: they were here before what is in the queue.
local some_held = redis.call('EXISTS', KEYS[5]) == 1
if some_held and want > 0 then
  for _, conversation in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', now, 'LIMIT', 0, want)) do
    local room = math.min(share, want - #events)
    if room > 0 then
      local key = parked_key(conversation)
      local parked = redis.call('LRANGE', key, 0, room - 1)
      redis.call('LTRIM', key, #parked, -1)
      for _, entry in ipairs(parked) do
        give(entry, read(entry))
      end
      if redis.call('EXISTS', key) == 1 then
        redis.call('ZADD', KEYS[5], '+inf', conversation)
        overflowing[#overflowing + 1] = conversation
      else
        redis.call('ZREM', KEYS[5], conversation)
      end
    end
  end
  some_held = redis.call('EXISTS', KEYS[5]) == 1
end

local count = {}
for i = 9, #ARGV do
  count[ARGV[i]] = share
end
if want > #events then
  local waiting = redis.call('LRANGE', KEYS[2], 0, want - #events - 1)
  redis.call('LTRIM', KEYS[2], #waiting, -1)
  for _, entry in ipairs(waiting) do
    local found = read(entry)
    local conversation = found and found[2][8]
    if not conversation then
      give(entry, nil)
    elseif some_held and redis.call('ZSCORE', KEYS[5], conversation) then
      redis.call('RPUSH', parked_key(conversation), entry)
    else
      local n = (count[conversation] or 0) + 1
      count[conversation] = n
      if n > share then
        redis.call('ZADD', KEYS[5], '+inf', conversation)
        redis.call('RPUSH', parked_key(conversation), entry)
        overflowing[#overflowing + 1] = conversation
        some_held = true
      else
        give(entry, found)
      end
    end
  end
end

for first = 1, #entries, 1000 do
  redis.call('SADD', KEYS[3], unpack(entries, first, math.min(first + 999, #entries)))
end
return {events, overflowing}
