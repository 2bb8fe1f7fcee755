-- Moves a batch of events from the inbox into their lanes, in one step.
--
-- KEYS  1 the leader's lease  2 cursor  3 lanes  4 stats
-- ARGV  1 prefix  2 token  3 expected cursor  4 new cursor  5 dedupe window (s)
--       then for each event: entry, identity, n, and n times: handler, lane
-- Returns the lanes that were asleep, or false if the caller no longer leads.

if redis.call('GET', KEYS[1]) ~= ARGV[2] then
  return false
end
if (redis.call('GET', KEYS[2]) or '0-0') ~= ARGV[3] then
  return false
end

local prefix = ARGV[1]
local queues, order = {}, {}
local events, duplicates = 0, 0
local i = 6
while i <= #ARGV do
  local entry, identity, n = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  i = i + 3
  local original
  if identity ~= '' then
    local seen = prefix .. 'seen:' .. identity
    if not redis.call('SET', seen, entry, 'NX', 'EX', ARGV[5]) then
      original = redis.call('GET', seen)
    end
  end
  events = events + 1
  if original and original ~= entry then
    duplicates = duplicates + 1
    redis.call('HSET', prefix .. 'event:' .. entry, 'repeats', original)
    i = i + 2 * n
  elseif n > 0 then
    local deliveries = {}
    for _ = 1, n do
      local handler, lane = ARGV[i], ARGV[i + 1]
      i = i + 2
      deliveries[#deliveries + 1] = handler
      deliveries[#deliveries + 1] = 'waiting 0 0'
      if not queues[lane] then
        queues[lane] = {}
        order[#order + 1] = lane
      end
      table.insert(queues[lane], entry)
    end
    redis.call('HSET', prefix .. 'event:' .. entry, unpack(deliveries))
  end
end

local woken = {}
for _, lane in ipairs(order) do
  local key, entries = prefix .. 'lane:' .. lane .. ':queue', queues[lane]
  for first = 1, #entries, 1000 do
    redis.call('RPUSH', key, unpack(entries, first, math.min(first + 999, #entries)))
  end
  if redis.call('HGET', KEYS[3], lane) ~= 'active' then
    redis.call('HSET', KEYS[3], lane, 'active')
    woken[#woken + 1] = lane
  end
end
redis.call('SET', KEYS[2], ARGV[4])
redis.call('HINCRBY', KEYS[4], 'dispatched', events)
if duplicates > 0 then
  redis.call('HINCRBY', KEYS[4], 'repeated', duplicates)
end
return woken
