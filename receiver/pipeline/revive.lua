-- Takes dead letters back: to be tried again, or to be dropped.
--
-- KEYS  1 dead  2 revived  3 lanes  4 inbox
-- ARGV  1 prefix  2 'retry' or 'discard'  then for each: entry, handler, lane, when it died (ms)
-- Returns {how many, lanes that were asleep}.

local prefix, retry = ARGV[1], ARGV[2] == 'retry'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local count, woken = 0, {}

-- Whether another handler's letter, dead or revived, is about this event.
local function is_needed(entry)
  local fields = redis.call('HKEYS', prefix .. 'event:' .. entry)
  for _, handler in ipairs(fields) do
    local name = entry .. ' ' .. handler
    if redis.call('ZSCORE', KEYS[1], name) or redis.call('ZSCORE', KEYS[2], name) then
      return true
    end
  end
  return false
end

local function drop(entry)
  if is_needed(entry) then
    return
  end
  local id = redis.call('HGET', prefix .. 'letter:' .. entry, 'id')
  redis.call('UNLINK', prefix .. 'letter:' .. entry)
  if id then
    redis.call('UNLINK', prefix .. 'batch:' .. id)
  end
  if #redis.call('XRANGE', KEYS[4], entry, entry) == 0 then
    redis.call('UNLINK', prefix .. 'event:' .. entry)
  end
end

for i = 3, #ARGV, 4 do
  local entry, handler, lane, died = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  -- One that was retried meanwhile, and has died again, is another letter than the one that was meant.
  if tonumber(redis.call('ZSCORE', KEYS[1], entry .. ' ' .. handler)) == died then
    redis.call('ZREM', KEYS[1], entry .. ' ' .. handler)
    count = count + 1
    local event = prefix .. 'event:' .. entry
    local attempts, failures = string.match(redis.call('HGET', event, handler) or 'dead 0 0', ' (%d+) (%d+)$')
    if retry then
      redis.call('HSET', event, handler, 'retrying ' .. attempts .. ' 0')
      redis.call('ZADD', KEYS[2], now, entry .. ' ' .. handler)
      redis.call('RPUSH', prefix .. 'lane:' .. lane .. ':queue', entry)
      if redis.call('HGET', KEYS[3], lane) ~= 'active' then
        redis.call('HSET', KEYS[3], lane, 'active')
        woken[#woken + 1] = lane
      end
    else
      redis.call('HSET', event, handler, 'skipped ' .. attempts .. ' ' .. failures)
      redis.call('ZREM', KEYS[2], entry .. ' ' .. handler)
      drop(entry)
    end
  end
end
return {count, woken}
