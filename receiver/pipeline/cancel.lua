-- Drops what is gathered under keys and was accepted before the event that cancels it.
--
-- KEYS  1 lanes  2 inbox
-- ARGV  1 prefix  2 the cancelling event's entry  3 the call's field in that event's hash
--       4 '1' to drop events of one conversation only  5 that conversation
--       then pairs of lane and key, those of one lane together

local prefix, entry, by_conversation = ARGV[1], ARGV[2], ARGV[4] == '1'
local event = prefix .. 'event:' .. entry
if (#redis.call('XRANGE', KEYS[2], entry, entry) == 0 and redis.call('EXISTS', event) == 0) or redis.call('HSETNX', event, ARGV[3], '1') == 0 then
  return 0
end

local function parts(one)
  local ms, number = string.match(one, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(number)
end

local entry_ms, entry_number = parts(entry)

local function is_earlier(one)
  local ms, number = parts(one)
  return ms < entry_ms or (ms == entry_ms and number < entry_number)
end

-- An event may be gathered under many of the keys: it is looked at once.
local meant = {}

local function is_meant(one)
  if meant[one] == nil then
    local found = by_conversation and redis.call('XRANGE', KEYS[2], one, one)[1]
    meant[one] = is_earlier(one) and (not by_conversation or (found and found[2][8] == ARGV[5])) or false
  end
  return meant[one]
end

local function cancel(base, key)
  local gathered, left, oldest = base .. 'gathered:' .. key, 0, math.huge
  local all = redis.call('HKEYS', gathered)
  for _, one in ipairs(all) do
    if one ~= 'since' then
      if is_meant(one) then
        redis.call('HDEL', gathered, one)
      else
        left = left + 1
        oldest = math.min(oldest, (parts(one)))
      end
    end
  end
  if left > 0 then
    redis.call('ZADD', base .. 'kept', oldest, 'gathered ' .. key)
  elseif #all > 0 then
    redis.call('UNLINK', gathered)
    redis.call('ZREM', base .. 'gathering', key)
    redis.call('ZREM', base .. 'kept', 'gathered ' .. key)
  end

  -- Of the closed batch, the next attempt leaves out what is older than this event.
  local batch = not by_conversation and redis.call('HGET', base .. 'closed', key)
  if batch then
    local cancelled = redis.call('HGET', prefix .. 'event:' .. batch, 'cancelled')
    if not cancelled or is_earlier(cancelled) then
      redis.call('HSET', prefix .. 'event:' .. batch, 'cancelled', entry)
    end
  end
end

local i = 6
while i <= #ARGV do
  local lane = ARGV[i]
  local base = prefix .. 'lane:' .. lane .. ':'
  while ARGV[i] == lane do
    cancel(base, ARGV[i + 1])
    i = i + 2
  end
  if redis.call('HGET', KEYS[1], lane) == 'resting'
    and redis.call('EXISTS', base .. 'held', base .. 'gathering') == 0 then
    redis.call('HDEL', KEYS[1], lane)
  end
end
return 1
