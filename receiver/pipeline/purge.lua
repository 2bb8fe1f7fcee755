-- Removes events, wherever they stand: from the inbox, with all that is kept beside them.
-- Whatever still refers to them (a lane, a drain, the dispatcher) learns from `purged` that they are gone.
--
-- KEYS  1 inbox  2 purged  3 dead  4 revived  5 marred
-- ARGV  1 prefix  2 number of dedupe windows, n  then n windows
--       then for each event: entry, identity, the identity's shard
-- Returns how many were removed: {events, letters, identities}.

local prefix, n = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local events, letters, identities = 0, 0, 0

for i = 3 + n, #ARGV, 3 do
  local entry, identity, shard = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  redis.call('ZADD', KEYS[2], now, entry)
  if identity ~= '' then
    for w = 3, 2 + n do
      local seen = prefix .. 'seen:' .. ARGV[w] .. ':' .. shard
      if redis.call('HGET', seen, identity) == entry then
        identities = identities + redis.call('HDEL', seen, identity)
      end
    end
  end
  local event, letter = prefix .. 'event:' .. entry, prefix .. 'letter:' .. entry
  for _, handler in ipairs(redis.call('HKEYS', event)) do
    redis.call('ZREM', KEYS[3], entry .. ' ' .. handler)
    redis.call('ZREM', KEYS[4], entry .. ' ' .. handler)
  end
  local id = redis.call('HGET', letter, 'id')
  if id then
    redis.call('UNLINK', prefix .. 'batch:' .. id)
  end
  letters = letters + redis.call('DEL', letter)
  redis.call('UNLINK', event)
  local was_there = redis.call('XDEL', KEYS[1], entry)
  events = events + was_there
  if was_there == 1 then
    redis.call('SET', KEYS[5], '1')
  end
end
return {events, letters, identities}
