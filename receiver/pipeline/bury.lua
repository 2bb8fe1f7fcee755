-- Drops the letters of deliveries that were revived and have ended.
--
-- KEYS  1 dead  2 revived  3 inbox  4 lanes
-- ARGV  1 prefix  2 first  3 last, of the revived ones
-- Returns {how many were looked at, how many of them are revived no more}.

local prefix, ended = ARGV[1], 0

-- From when on (ms) events are gathered, or in batches that are unfinished.
local kept = math.huge
for _, lane in ipairs(redis.call('HKEYS', KEYS[4])) do
  local first = redis.call('ZRANGE', prefix .. 'lane:' .. lane .. ':kept', 0, 0, 'WITHSCORES')[2]
  kept = math.min(kept, tonumber(first or math.huge))
end

local function is_needed(entry)
  for _, handler in ipairs(redis.call('HKEYS', prefix .. 'event:' .. entry)) do
    local name = entry .. ' ' .. handler
    if redis.call('ZSCORE', KEYS[1], name) or redis.call('ZSCORE', KEYS[2], name) then
      return true
    end
  end
  return false
end

local found = redis.call('ZRANGE', KEYS[2], ARGV[2], ARGV[3])
for _, name in ipairs(found) do
  local entry, handler = string.match(name, '^(%S+) (.*)$')
  local event = prefix .. 'event:' .. entry
  local status = string.match(redis.call('HGET', event, handler) or 'done', '^%a+')
  local in_inbox = #redis.call('XRANGE', KEYS[3], entry, entry) == 1
  -- Its handler may have gathered it: then the letter is the only place where it can be read.
  local gathered = not in_inbox and tonumber(string.match(entry, '^%d+')) >= kept
  if status ~= 'waiting' and status ~= 'retrying' and not gathered then
    redis.call('ZREM', KEYS[2], name)
    ended = ended + 1
    if not is_needed(entry) then
      local id = redis.call('HGET', prefix .. 'letter:' .. entry, 'id')
      redis.call('UNLINK', prefix .. 'letter:' .. entry)
      if id then
        redis.call('UNLINK', prefix .. 'batch:' .. id)
      end
      if not in_inbox then
        redis.call('UNLINK', event)
      end
    end
  end
end
return {#found, ended}
